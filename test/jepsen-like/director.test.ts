import { expect, test } from 'vitest';
import type { System } from '../../jepsen-like/cluster/system.js';
import { Director } from '../../jepsen-like/nemeses/director.js';
import type { Nemesis } from '../../jepsen-like/nemeses/nemesis.js';
import type { FaultLog } from '../../jepsen-like/run/fault-log.js';
import type { Client } from '../../src/client/client.js';

function directed(untilMs: number) {
  const done: string[] = [];
  const system = {
    mend: async () => void done.push('mended'),
    recovered: async () => {
      done.push('whole');
      return null;
    },
  } as unknown as System;
  const nemesis: Nemesis = {
    ...{ name: 'x', about: 'leaves something that ends later' },
    episode: async ({ endsWithPeriod }) => {
      done.push('episode');
      endsWithPeriod(() => done.push('ended'));
    },
  };
  const director = new Director({
    ...{ system, untilMs, faults: {} as FaultLog, db: {} as Client },
    ...{ signal: new AbortController().signal, onPeriod: () => done.push('period') },
  });
  const episodes = [{ nemesis, afterMs: 0, holdMs: 1, seed: 1 }];
  const run = director.run(Array(2).fill({ lengthMs: 1, episodes }));
  return run.then(() => done);
}

test('what an episode leaves ends with its period, when all is whole again', async () => {
  const period = ['period', 'episode', 'mended', 'whole', 'ended'];
  expect(await directed(Number.POSITIVE_INFINITY)).toEqual([...period, ...period]);
});

test('no period begins when the time is up', async () => {
  expect(await directed(0)).toEqual([]);
});
