"""CLIP and DA-CLIP as recognisers, which a bundle refers to instead of holding them."""
