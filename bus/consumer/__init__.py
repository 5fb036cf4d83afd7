"""The consumer framework: handlers of events, in order, with retries and dead letters. See docs/consumers.md.

What other programs may import is named here.
"""

from __future__ import annotations

from bus.consumer.consumer import Consumer
from bus.consumer.errors import Rejected, TopicsMissing
from bus.consumer.handlers import Delivery, Handlers
from bus.consumer.metrics import ConsumerMetrics
from bus.consumer.names import GroupTopics, group_plans, group_topics
from bus.consumer.opening import open_consumer
from bus.consumer.retries import Retries
from bus.consumer.stop_rule import DeadLetterLimit, StopReason
from bus.consumer.tuning import Tuning

__all__ = [
    "Consumer",
    "ConsumerMetrics",
    "DeadLetterLimit",
    "Delivery",
    "GroupTopics",
    "Handlers",
    "Rejected",
    "Retries",
    "StopReason",
    "TopicsMissing",
    "Tuning",
    "group_plans",
    "group_topics",
    "open_consumer",
]
