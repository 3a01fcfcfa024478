"""``python -m polyrestore``, which is also how torchrun starts a training."""

from polyrestore.cli.main import main

if __name__ == "__main__":
    main()
