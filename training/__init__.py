"""From a forward model to a served network: everything offline."""

import os

# Before tensorflow is imported anywhere. On some CPUs oneDNN is off by default, and a fit takes three times as long.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
