"""What Jangbu says about itself: structured logs and Prometheus metrics."""
