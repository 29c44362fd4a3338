"""Micro-batching: who travels together, and who fails together."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.inference import batcher as batcher_module
from service.inference.batcher import MAX_BATCH, MAX_IN_FLIGHT, Batcher


def galaxy(number):
    return {"pixels": np.full((1, 2, 2, 1), number, np.float32), "context": np.full((1, 3), -number, np.float32)}


class Model:
    """Answers each galaxy's own number, once `gate` is open; refuses batches with a galaxy in `poison`."""

    def __init__(self, poison=()):
        self.gate = asyncio.Event()
        self.poison = set(poison)
        self.batches = []
        self.at_once = 0
        self.most_at_once = 0

    async def __call__(self, inputs):
        numbers = inputs["pixels"][:, 0, 0, 0]
        assert inputs["context"][:, 0].tolist() == (-numbers).tolist()
        self.batches.append(len(numbers))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            if self.poison & set(numbers.tolist()):
                raise RuntimeError("poisoned")
            return {"mean": numbers[:, None]}
        finally:
            self.at_once -= 1


async def ask(batcher, numbers):
    return await asyncio.gather(*(batcher.predict(galaxy(number)) for number in numbers), return_exceptions=True)


async def started(batcher, numbers):
    task = asyncio.create_task(ask(batcher, numbers))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


def test_a_lone_request_is_sent_at_once():
    async def alone():
        model = Model()
        model.gate.set()
        return await Batcher(model).predict(galaxy(7)), model.batches

    outputs, batches = asyncio.run(alone())
    assert outputs["mean"].tolist() == [[7]]
    assert batches == [1]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 300))
def test_everybody_gets_their_own_answer_in_few_calls(count):
    async def many():
        model = Model()
        asking = await started(Batcher(model), range(count))
        model.gate.set()
        return await asking, model

    answers, model = asyncio.run(many())
    assert [answer["mean"].item() for answer in answers] == list(range(count))
    assert max(model.batches) <= MAX_BATCH
    assert model.most_at_once <= MAX_IN_FLIGHT
    waiting = max(count - MAX_IN_FLIGHT, 0)
    assert len(model.batches) == min(count, MAX_IN_FLIGHT) + -(-waiting // MAX_BATCH)


def test_a_failed_batch_fails_its_own_requests_and_no_others():
    async def poisoned():
        model = Model(poison={70.0})
        batcher = Batcher(model)
        asking = await started(batcher, range(200))
        model.gate.set()
        answers = await asking
        return answers, await batcher.predict(galaxy(5)), model.batches

    answers, afterwards, batches = asyncio.run(poisoned())
    failed = {number for number, answer in enumerate(answers) if isinstance(answer, RuntimeError)}
    assert batches[:5] == [1, 1, 64, 64, 64]
    assert failed == set(range(66, 130))
    assert afterwards["mean"].tolist() == [[5]]


def test_pixels_that_cannot_be_stacked_fail_and_do_not_hang():
    async def odd():
        model = Model()
        batcher = Batcher(model)
        asking = await started(batcher, range(2))
        odd_ones = asyncio.gather(
            batcher.predict(galaxy(1)),
            batcher.predict({**galaxy(2), "pixels": np.zeros((1, 3, 3, 1), np.float32)}),
            return_exceptions=True,
        )
        await asyncio.sleep(0)
        model.gate.set()
        return await asyncio.wait_for(odd_ones, 5), await asking

    odd_ones, others = asyncio.run(odd())
    assert all(isinstance(error, ValueError) for error in odd_ones)
    assert [other["mean"].item() for other in others] == [0, 1]


def test_hung_calls_do_not_keep_others_waiting(monkeypatch):
    monkeypatch.setattr(batcher_module, "PATIENCE", 0.02)

    async def hanging():
        model = Model()
        batcher = Batcher(model)
        hung = await started(batcher, range(MAX_IN_FLIGHT))
        model.gate, closed = asyncio.Event(), model.gate
        model.gate.set()
        answer = await asyncio.wait_for(batcher.predict(galaxy(9)), 5)
        closed.set()
        return answer, await hung

    answer, hung = asyncio.run(hanging())
    assert answer["mean"].item() == 9
    assert [outputs["mean"].item() for outputs in hung] == [0, 1]


def test_who_has_gone_is_not_asked_for():
    async def gone():
        model = Model()
        batcher = Batcher(model)
        first = await started(batcher, range(MAX_IN_FLIGHT))
        leaving = [asyncio.create_task(batcher.predict(galaxy(number))) for number in (10, 11, 12)]
        await asyncio.sleep(0)
        leaving[1].cancel()
        await asyncio.sleep(0)
        model.gate.set()
        await first
        return await asyncio.gather(*leaving, return_exceptions=True), model.batches

    answers, batches = asyncio.run(gone())
    assert isinstance(answers[1], asyncio.CancelledError)
    assert [answers[0]["mean"].item(), answers[2]["mean"].item()] == [10, 12]
    assert batches == [1, 1, 2]


def test_a_cancelled_call_is_passed_on_as_cancelled():
    async def cancelled():
        async def call(pixels):
            raise asyncio.CancelledError

        await asyncio.wait_for(Batcher(call).predict(galaxy(1)), 5)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
