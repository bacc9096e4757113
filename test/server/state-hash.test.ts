import { describe, expect, test } from 'vitest';
import { formedWith } from '../../src/raft/configuration.js';
import type { Configuration } from '../../src/raft/types.js';
import { StateHashes } from '../../src/server/state-hash.js';

/** The hashes as n1 sees them. */
function hashesIn(configuration: Configuration) {
  const diverged: string[] = [];
  const mismatches: string[] = [];
  const hashes = new StateHashes({
    id: 'n1',
    configuration: () => configuration,
    onMismatch: (member, { index }) => mismatches.push(`${member} at ${index}`),
    onDiverged: (error) => diverged.push(`${error.code}: ${error.message}`),
  });
  const own = (index: number, hash: number): void => hashes.own({ index, hash });
  const of = (member: string, index: number, hash: number): void =>
    hashes.received(member, { index, hash });
  return { own, of, diverged, mismatches };
}

const three = formedWith(['n1', 'n2', 'n3']);

describe('the state of a replica', () => {
  test('that all others have, too, is right', () => {
    const { own, of, diverged, mismatches } = hashesIn(three);
    own(1024, 7);
    of('n2', 1024, 7);
    of('n3', 1024, 7);
    expect([diverged, mismatches]).toEqual([[], []]);
  });

  test('that differs from a majority which agrees has diverged, whichever comes first', () => {
    const late = hashesIn(three);
    late.of('n2', 1024, 8);
    late.of('n3', 1024, 8);
    late.own(1024, 7);
    const early = hashesIn(three);
    early.own(1024, 7);
    early.of('n2', 1024, 8);
    expect(early.diverged).toEqual([]);
    early.of('n3', 1024, 8);
    for (const { diverged } of [late, early]) {
      expect(diverged).toEqual([
        'STATE_DIVERGED: after log entry 1024 the state here has hash 00000007, ' +
          'at a majority of the voters 00000008',
      ]);
    }
  });

  test('has diverged also when one that answered before the majority differs from all', () => {
    const { own, of, diverged, mismatches } = hashesIn(formedWith(['n1', 'n2', 'n3', 'n4', 'n5']));
    of('n2', 1024, 9);
    for (const member of ['n3', 'n4', 'n5']) of(member, 1024, 8);
    own(1024, 7);
    expect(diverged).toEqual([
      'STATE_DIVERGED: after log entry 1024 the state here has hash 00000007, ' +
        'at a majority of the voters 00000008',
    ]);
    expect(mismatches).toEqual(['n2 at 1024']);
  });

  test('that one other does not have is right as long as no majority says otherwise', () => {
    const { own, of, diverged, mismatches } = hashesIn(three);
    own(1024, 7);
    of('n2', 1024, 8);
    of('n3', 1024, 7);
    expect([diverged, mismatches]).toEqual([[], ['n2 at 1024']]);
  });

  test('is not judged by others that differ from one another, too', () => {
    const { own, of, diverged } = hashesIn(formedWith(['n1', 'n2', 'n3', 'n4', 'n5']));
    own(1024, 7);
    for (const [i, member] of ['n2', 'n3', 'n4', 'n5'].entries()) of(member, 1024, 10 + (i % 2));
    expect(diverged).toEqual([]);
  });

  test('of a learner is judged by the voters; learners judge nobody', () => {
    const learner = hashesIn(formedWith(['n2', 'n3', 'n4'], { learners: ['n1', 'n5', 'n6'] }));
    learner.own(1024, 7);
    for (const member of ['n5', 'n6', 'n2']) learner.of(member, 1024, 8);
    expect(learner.diverged).toEqual([]);
    learner.of('n3', 1024, 8);
    expect(learner.diverged).toHaveLength(1);
  });

  test('is judged by a majority of both halves while the voters change', () => {
    const joint = formedWith(['n1', 'n2', 'n3'], { votersOutgoing: ['n1', 'n4', 'n5'] });
    const { own, of, diverged } = hashesIn(joint);
    own(1024, 7);
    of('n2', 1024, 8);
    of('n3', 1024, 8);
    of('n4', 1024, 8);
    expect(diverged).toEqual([]);
    of('n5', 1024, 8);
    expect(diverged).toHaveLength(1);
  });

  test('at an index that was skipped by a snapshot is not compared', () => {
    const { own, of, diverged } = hashesIn(three);
    of('n2', 1024, 8);
    of('n3', 1024, 8);
    own(2048, 7);
    expect(diverged).toEqual([]);
  });

  test('hashes are remembered for a while, not for ever', () => {
    const { own, of, diverged } = hashesIn(three);
    for (let i = 1; i <= 200; i += 1) of('n2', i * 1024, 8);
    own(1024, 7);
    of('n3', 1024, 8);
    expect(diverged).toEqual([]);
    own(150 * 1024, 7);
    of('n3', 150 * 1024, 8);
    expect(diverged).toHaveLength(1);
  });
});
