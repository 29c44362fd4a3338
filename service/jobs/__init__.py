"""Work that takes longer than a request: a Celery application. Workers never import tensorflow."""
