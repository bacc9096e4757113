import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import {
  CALL_LIMITS,
  type Execution,
  failedExecution,
  type ProcedureCall,
} from '../../src/compute/execution.js';
import { Foresight, type Given } from '../../src/compute/sandbox/foresight.js';
import { MemorySource } from './memory-source.js';

/** What is given to a call before it asks. */

function callWith(args: unknown, { name = 'p', hash = 'h' } = {}): ProcedureCall {
  return {
    ...{ bundle: { hash, code: '' }, name, args: JSON.stringify(args) },
    ...{ nowMs: 0, seed: 1, origin: '', limits: CALL_LIMITS },
  };
}

function ranReading(keys: readonly string[]): Execution {
  const reads = keys.map((key) => ({ key: Buffer.from(key), modRevision: 1 }));
  const nothing = { ranges: [], writes: [], updates: [], cells: [], events: [], schedules: [] };
  return { ok: true, logs: [], result: 'null', effects: { ...nothing, reads } } as Execution;
}

function shown(given: Given | null): unknown {
  const text = (bytes: Uint8Array | undefined): string | undefined =>
    bytes && `${Buffer.from(bytes)}`;
  return (
    given && {
      found: given.found.map(([key, one]) => [text(key), one && text(one.value)]),
      cells: given.cells.map(([key, cell]) => [key, cell && text(cell)]),
    }
  );
}

function sourceWithCells(): MemorySource {
  const source = new MemorySource({ 'of/b': 1 });
  source.cells.set('n/b', Buffer.from('cell'));
  return source;
}

describe('foresight', () => {
  test('gives keys and cells that calls before have asked for, with the arguments of this one', () => {
    const foresight = new Foresight();
    const source = sourceWithCells();
    expect(foresight.given(callWith({ id: 'b' }), source)).toBeNull();
    foresight.learn(callWith({ id: 'a' }), ranReading(['of/a', 'both']), ['n/a']);
    expect(shown(foresight.given(callWith({ id: 'b' }), source))).toEqual({
      found: [
        ['of/b', '1'],
        ['both', null],
      ],
      cells: [['n/b', 'cell']],
    });
    expect(shown(foresight.given(callWith({ id: 'c' }), source))).toMatchObject({
      cells: [['n/c', null]],
    });
  });

  test('knows procedures apart, by name and code', () => {
    const foresight = new Foresight();
    foresight.learn(callWith({ id: 'a' }), ranReading(['of/a']), []);
    for (const other of [{ name: 'q' }, { hash: 'i' }]) {
      expect(foresight.given(callWith({ id: 'b' }, other), sourceWithCells())).toBeNull();
    }
  });

  test('learns of a call that failed, too, what it had read, and what it had not', () => {
    const foresight = new Foresight();
    const failed = failedExecution(new BalsaError('PROCEDURE_FAILED', 'no'));
    foresight.learn(callWith({ id: 'a' }), failed, ['n/a']);
    expect(foresight.given(callWith({ id: 'b' }), sourceWithCells())).toMatchObject({
      cells: [['n/b', Buffer.from('cell')]],
    });
    for (let i = 0; i < 8; i += 1) foresight.learn(callWith({ id: 'a' }), failed, []);
    expect(foresight.given(callWith({ id: 'b' }), sourceWithCells())).toBeNull();
  });

  test('learns nothing of a call that reads very much', () => {
    const foresight = new Foresight();
    const many = Array.from({ length: 65 }, (_, i) => `of/a/${i}`);
    foresight.learn(callWith({ id: 'a' }), ranReading(many), []);
    foresight.learn(callWith({ id: 'a' }), ranReading([]), many);
    expect(foresight.given(callWith({ id: 'b' }), sourceWithCells())).toBeNull();
  });

  test('gives no cell that is read as a key, which others change meanwhile, nor what is no text', () => {
    const foresight = new Foresight();
    foresight.learn(callWith({ id: 'a' }), ranReading(['_cells/a']), ['n/a']);
    const given = foresight.given(callWith({ id: '\ud800' }), sourceWithCells());
    expect(given).toEqual({ found: [], cells: [] });
  });

  test('gives nothing when the store cannot answer, nor what is large, nor for long arguments', () => {
    const foresight = new Foresight();
    foresight.learn(callWith({ id: 'a' }), ranReading(['of/a']), ['n/a']);
    const broken = new MemorySource();
    broken.get = () => {
      throw new BalsaError('COMPACTED', 'gone');
    };
    expect(foresight.given(callWith({ id: 'b' }), broken)).toBeNull();
    const large = new MemorySource({ 'of/b': 'x'.repeat(70_000) });
    large.cells.set('n/b', Buffer.alloc(70_000));
    expect(foresight.given(callWith({ id: 'b' }), large)).toEqual({ found: [], cells: [] });
    const long = callWith({ id: 'b', text: 'x'.repeat(5000) });
    expect(foresight.given(long, sourceWithCells())).toBeNull();
  });

  test('is of as many procedures as were called lately', () => {
    const foresight = new Foresight();
    const learn = (name: string): void =>
      foresight.learn(callWith({ id: 'a' }, { name }), ranReading(['of/a']), []);
    learn('first');
    for (let i = 0; i < 100; i += 1) learn(`other ${i}`);
    const source = sourceWithCells();
    expect(foresight.given(callWith({ id: 'b' }, { name: 'first' }), source)).toBeNull();
    expect(foresight.given(callWith({ id: 'b' }, { name: 'other 99' }), source)).not.toBeNull();
  });
});
