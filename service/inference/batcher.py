"""Micro-batching: requests that arrive while the model server is busy travel together in the next call."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from service.inference.client import Tensors

MAX_BATCH: Final = 64
"""Galaxies in one call at most."""

MAX_IN_FLIGHT: Final = 2
"""Calls at once: one is computed while the next travels, or both are."""

PATIENCE: Final = 1.0
"""Seconds after which a call in flight no longer keeps others waiting; its own deadline ends it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    inputs: Tensors
    answer: asyncio.Future[Tensors]


@dataclass(slots=True)
class Batcher:
    """Turns single requests for one model into calls for many galaxies.

    A request is sent at once when fewer than `MAX_IN_FLIGHT` calls are in flight; otherwise it waits for the next
    call, together with up to `MAX_BATCH` others. There is no fixed waiting time, so a lone request loses nothing.

    Attributes
    ----------
    call : callable
        Asks the model: tensors by name to tensors by name, each with galaxies as its first axis.
    """

    call: Callable[[Tensors], Awaitable[Tensors]]
    _waiting: deque[_Request] = field(default_factory=deque)
    _in_flight: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def predict(self, inputs: Tensors) -> Tensors:
        """Ask the model about one galaxy.

        Parameters
        ----------
        inputs : mapping of str to ndarray of float32, shape (1, ...)
            Input tensors by name.

        Returns
        -------
        mapping of str to ndarray of float32, shape (1, ...)
            Output tensors by name.

        Raises
        ------
        Exception
            Whatever the call of this galaxy's batch raised; other batches are not touched.
        """
        request = _Request(inputs, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._send()
        return await request.answer

    def _send(self) -> None:
        while self._in_flight < MAX_IN_FLIGHT and (batch := self._next_batch()):
            self._in_flight += 1
            task = asyncio.create_task(self._deliver(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next_batch(self) -> list[_Request]:
        batch: list[_Request] = []
        while self._waiting and len(batch) < MAX_BATCH:
            request = self._waiting.popleft()
            if not request.answer.done():  # its client may have gone
                batch.append(request)
        return batch

    async def _ask(self, batch: list[_Request]) -> Tensors:
        names = batch[0].inputs
        return await self.call({name: np.concatenate([request.inputs[name] for request in batch]) for name in names})

    async def _deliver(self, batch: list[_Request]) -> None:
        call = asyncio.create_task(self._ask(batch))
        await asyncio.wait({call}, timeout=PATIENCE)
        self._in_flight -= 1
        self._send()
        await asyncio.wait({call})
        for row, request in enumerate(batch):
            if request.answer.done():
                continue
            if call.cancelled():
                request.answer.cancel()
            elif (error := call.exception()) is not None:
                request.answer.set_exception(error)
            else:
                request.answer.set_result({name: values[row : row + 1] for name, values in call.result().items()})
