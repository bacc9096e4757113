import { describe, expect, test } from 'vitest';
import { BalsaError, type ErrorCode, type WriteOutcome } from '../../src/base/errors.js';
import { PendingRead } from '../../src/client/pending-read.js';
import {
  type Attempts,
  type CallAnswered,
  LaneRequest,
  SubmitRequest,
} from '../../src/client/procedure-request.js';

const FIELDS = { procedure: 'p', args: 'null', key: Buffer.from('key'), isNamed: false, peers: 0 };

function pending(): PendingRead<CallAnswered> {
  const limits = { startedMs: 0, deadlineMs: 1000, signal: undefined };
  return new PendingRead<CallAnswered>(
    limits,
    () => {},
    () => {},
  );
}

function lane({ seen = () => 7, attempts }: { seen?: () => number; attempts?: Attempts } = {}) {
  return new LaneRequest(FIELDS, seen, pending(), attempts);
}

/** It goes out. @returns the index that it says it was born at */
function send(request: LaneRequest): number {
  request.sent = true;
  const { bornIndex } = request.encode(1, { nowMs: 0, greetedMs: 0 }) as { bornIndex: number };
  return bornIndex;
}

function refused(code: ErrorCode, outcome?: WriteOutcome, index?: number): BalsaError {
  const details = index === undefined ? {} : { index };
  return new BalsaError(code, 'as a replica says', { outcome, details });
}

const ABORTED = refused('PROCEDURE_ABORTED', 'not-applied');

describe('what becomes of a call that has failed', () => {
  test('is as the log said, when nothing else was sent', () => {
    const request = lane();
    send(request);
    expect(request.isFinal(ABORTED)).toBe(true);
    expect(request.outcomeOf(ABORTED).outcome).toBe('not-applied');
  });

  test('is not known behind an attempt whose answer was lost: that may still be on its way', () => {
    const request = lane();
    send(request);
    request.lost();
    send(request);
    for (const code of ['PROCEDURE_ABORTED', 'PROCEDURE_FAILED', 'NOT_LEADER'] as const) {
      expect(request.outcomeOf(refused(code, 'not-applied')).outcome).toBe('unknown');
    }
  });

  test('is not known behind one that was in the log of a leader that was lost', () => {
    const request = lane();
    send(request);
    expect(request.isFinal(refused('NOT_LEADER', 'unknown'))).toBe(false);
    expect(request.outcomeOf(ABORTED).outcome).toBe('unknown');
  });

  test('is not known when its time is up; one that was never sent was not applied', () => {
    const request = lane();
    expect(request.outcomeOf(refused('TIMEOUT')).outcome).toBe('not-applied');
    send(request);
    expect(request.outcomeOf(refused('TIMEOUT')).outcome).toBe('unknown');
  });

  test('is as open as it was before, when it was tried in another way first', () => {
    const attempts = { bornIndex: 3, firstMs: 0, isUnsure: true };
    expect(lane({ attempts }).outcomeOf(refused('TIMEOUT')).outcome).toBe('unknown');
    const submitted = new SubmitRequest(Buffer.from('record'), pending(), attempts);
    submitted.sent = true;
    const conflict = refused('TXN_CONFLICT', 'not-applied');
    expect(submitted.isFinal(conflict)).toBe(true);
    expect(submitted.outcomeOf(conflict).outcome).toBe('unknown');
  });
});

describe('how old a call says that it is', () => {
  /** @returns what it says when it is sent then, to a replica that has said hello then */
  const ageAt = (request: LaneRequest, nowMs: number, greetedMs: number): unknown => {
    request.sent = true;
    return (request.encode(1, { nowMs, greetedMs }) as { age: unknown }).age;
  };

  test('is nothing, as long as all that was tried is known not to have been applied', () => {
    const request = lane();
    expect(ageAt(request, 1000, 10)).toBeNull();
    request.isFinal(refused('OVERLOADED', 'not-applied'));
    expect(ageAt(request, 2000, 10)).toBeNull();
    request.lost();
    expect(ageAt(request, 3000, 2500)).toEqual({ ms: 500, at: 'hello' });
  });

  test('counts from the first attempt, to the hello of the replica or to when it is sent', () => {
    const request = lane();
    ageAt(request, 1000, 10);
    request.isFinal(refused('TIMEOUT', 'unknown'));
    expect(ageAt(request, 1500.5, 10)).toEqual({ ms: 501, at: 'sent' });
    request.lost();
    expect(ageAt(request, 9000, 8000)).toEqual({ ms: 7000, at: 'hello' });
  });
});

describe('the index that a call says it was born at', () => {
  test('is that of the first attempt, however often and in whatever way it is sent', () => {
    let index = 7;
    const request = lane({ seen: () => index });
    expect(send(request)).toBe(7);
    index = 9;
    request.lost();
    expect(send(request)).toBe(7);
    expect(send(lane({ attempts: { bornIndex: 3, firstMs: 0, isUnsure: false } }))).toBe(3);
  });

  test('moves on when it was too old, and nothing else was sent', () => {
    const request = lane();
    send(request);
    expect(request.isFinal(refused('CALL_EXPIRED', 'unknown', 50))).toBe(false);
    expect(send(request)).toBe(49);
    request.lost();
    expect(request.isFinal(refused('CALL_EXPIRED', 'unknown', 60))).toBe(true);
    const unsure = lane({ attempts: { bornIndex: 3, firstMs: 0, isUnsure: true } });
    send(unsure);
    expect(unsure.isFinal(refused('CALL_EXPIRED', 'unknown', 60))).toBe(true);
  });
});
