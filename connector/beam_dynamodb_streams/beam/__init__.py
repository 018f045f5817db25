"""The only place that knows Beam's internals: traits of runners, and the pipeline's graph."""
