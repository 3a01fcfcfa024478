"""The shipped recogniser: a pre-trained trunk and small networks on what it sees."""

from polyrestore.recognition.encoder.recogniser import EncoderRecogniser

__all__ = ["EncoderRecogniser"]
