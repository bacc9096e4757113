import { describe, expect, test } from 'vitest';
import type { Entry, MemberId, Term } from '../../src/raft/types.js';
import { Cluster } from './cluster-harness.js';
import { entry } from './node-fixture.js';

/** Plays whose every line is compared with a text in `test/transcripts`. */

function play(setup: ConstructorParameters<typeof Cluster>[0], act: (cluster: Cluster) => void) {
  const cluster = new Cluster(setup);
  cluster.transcript = [];
  act(cluster);
  return `${cluster.transcript.join('\n')}\n`;
}

function file(name: string): string {
  return `../transcripts/${name}.txt`;
}

/** Terms as the digits of a text, as Figure 7 draws them. */
function logFrom(digits: string): Entry[] {
  return [...digits].map((digit, offset) => entry(offset + 1, Number(digit)));
}

/** `id` becomes leader, and all that follows from it happens. */
function elect(cluster: Cluster, id: MemberId): void {
  cluster.step(id, { type: 'campaign' });
  cluster.settle();
}

function terms(cluster: Cluster, id: MemberId): Term[] {
  return cluster.member(id).log.map((e) => e.term);
}

const THREE = { ids: ['n1', 'n2', 'n3'], seed: 7 };

describe('transcripts', () => {
  test('a campaign: pre-vote, vote on disk, noop, commit', async () => {
    const text = play(THREE, (cluster) => elect(cluster, 'n1'));
    await expect(text).toMatchFileSnapshot(file('campaign'));
  });

  test('replication of three commands in two steps', async () => {
    const text = play(THREE, (cluster) => {
      elect(cluster, 'n1');
      cluster.transcript = [];
      cluster.propose('n1', 'a');
      cluster.propose('n1', 'b');
      cluster.settle();
      cluster.propose('n1', 'c');
      cluster.settle();
      cluster.read('n1');
      cluster.read('n3');
      cluster.settle();
    });
    await expect(text).toMatchFileSnapshot(file('replication'));
  });

  test('the logs of Figure 7 become those of the leader of term 8', async () => {
    const logs = {
      leader: logFrom('1114455666'),
      a: logFrom('111445566'),
      b: logFrom('1114'),
      c: logFrom('11144556666'),
      d: logFrom('111445566677'),
      e: logFrom('1114444'),
      f: logFrom('11122233333'),
    };
    const ids = Object.keys(logs);
    const all = Object.fromEntries(ids.map((id) => [id, 7]));
    let cluster: Cluster | null = null;
    const text = play({ ids, seed: 7, logs, terms: all }, (played) => {
      cluster = played;
      elect(played, 'leader');
      for (let i = 0; i < 2; i += 1) {
        played.tick('leader', 2);
        played.settle();
      }
      for (const id of ids) expect(terms(played, id).join('')).toBe('11144556668');
    });
    expect(cluster).not.toBeNull();
    await expect(text).toMatchFileSnapshot(file('figure-7'));
  });

  test('a change of leaders repairs a tail that was never committed', async () => {
    const text = play(THREE, (cluster) => {
      elect(cluster, 'n1');
      cluster.transcript = [];
      cluster.isolate('n1');
      cluster.propose('n1', 'lost-1');
      cluster.propose('n1', 'lost-2');
      cluster.settle();
      cluster.step('n3', { type: 'disconnected', member: 'n1' });
      cluster.step('n2', { type: 'disconnected', member: 'n1' });
      cluster.tick('n2', 1);
      cluster.settle();
      cluster.propose('n2', 'kept');
      cluster.settle();
      cluster.heal();
      cluster.tick('n2', 2);
      cluster.settle();
      cluster.tick('n2', 2);
      cluster.settle();
      expect(terms(cluster, 'n1')).toEqual([1, 2, 2]);
    });
    await expect(text).toMatchFileSnapshot(file('leader-change'));
  });

  test('a slow follower catches up from the disk of the leader', async () => {
    const limits = { logCacheBytesMax: 80, appendBytesMax: 80 };
    const text = play({ ...THREE, limits }, (cluster) => {
      elect(cluster, 'n1');
      cluster.isolate('n3');
      for (let i = 0; i < 6; i += 1) cluster.propose('n1', `p${i}`);
      cluster.settle();
      cluster.transcript = [];
      cluster.heal();
      cluster.step('n1', { type: 'disconnected', member: 'n3' });
      for (let i = 0; i < 2; i += 1) {
        cluster.tick('n1', 2);
        cluster.settle();
      }
      expect(cluster.node('n3').commitIndex).toBe(7);
    });
    await expect(text).toMatchFileSnapshot(file('slow-follower'));
  });

  test('power fails at a leader whose entries are not on a majority', async () => {
    const text = play(THREE, (cluster) => {
      elect(cluster, 'n1');
      cluster.transcript = [];
      cluster.propose('n1', 'x');
      cluster.deliver(0);
      cluster.crash('n1');
      cluster.crash('n2');
      cluster.start('n1');
      cluster.start('n2');
      cluster.network.length = 0;
      elect(cluster, 'n2');
      expect(terms(cluster, 'n1')).toEqual([1, 2]);
    });
    await expect(text).toMatchFileSnapshot(file('power-failure'));
  });
});
