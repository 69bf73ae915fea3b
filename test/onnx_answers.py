"""Answers the jobs of tests by ONNX and its runtime, on the processor."""

import onnxruntime
from answers import serve

onnxruntime.set_default_logger_severity(3)

serve()
