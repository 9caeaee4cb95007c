"""Durable queues, and what moves messages: the relay, the bus, the worker, the scheduler."""
