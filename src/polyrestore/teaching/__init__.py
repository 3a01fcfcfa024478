"""Teaching a bundle a degradation that it does not know."""

from polyrestore.teaching.report import Effect, TeachingReport
from polyrestore.teaching.teach import Lesson, teach
from polyrestore.teaching.training import Training

__all__ = ["Effect", "Lesson", "TeachingReport", "Training", "teach"]
