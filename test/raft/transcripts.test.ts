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

  test('a voter is replaced: learner, promotion, joint configuration, final configuration', async () => {
    const ids = ['n1', 'n2', 'n3', 'n4'];
    const text = play({ ids, voters: ['n1', 'n2', 'n3'], seed: 7 }, (cluster) => {
      elect(cluster, 'n1');
      cluster.transcript = [];
      cluster.change('n1', {
        learners: ['n4'],
        promotions: [{ member: 'n4', replaces: 'n3' }],
      });
      for (let i = 0; i < 3; i += 1) {
        cluster.settle();
        cluster.tick('n1', 2);
      }
      cluster.settle();
      expect(cluster.node('n4').configuration.voters).toEqual(['n1', 'n2', 'n4']);
      expect(cluster.node('n3').commitIndex).toBe(cluster.node('n1').commitIndex);
    });
    await expect(text).toMatchFileSnapshot(file('joint-change'));
  });

  test('the leader is removed: it hands over, and the next leader removes it', async () => {
    const text = play(THREE, (cluster) => {
      elect(cluster, 'n1');
      cluster.tick('n1', 2);
      cluster.settle();
      cluster.transcript = [];
      cluster.change('n1', { voters: ['n2', 'n3'] });
      cluster.settle();
      const leader = cluster.leader() ?? '';
      cluster.change(leader, { voters: ['n2', 'n3'] });
      cluster.settle();
      cluster.tick(leader, 2);
      cluster.settle();
      expect(cluster.member('n1').events.at(-1)).toEqual({ type: 'removed' });
    });
    await expect(text).toMatchFileSnapshot(file('leader-removal'));
  });

  test('the only voter is replaced: it leads until it is out, and asks the other to lead', async () => {
    const text = play({ ids: ['n1', 'n2'], voters: ['n1'], seed: 7 }, (cluster) => {
      elect(cluster, 'n1');
      cluster.transcript = [];
      cluster.change('n1', {
        learners: ['n2'],
        promotions: [{ member: 'n2', replaces: 'n1' }],
      });
      for (let i = 0; i < 3; i += 1) {
        cluster.settle();
        if (cluster.leader() !== null) cluster.tick(cluster.leader() ?? '', 2);
      }
      cluster.settle();
      expect(cluster.leader()).toBe('n2');
    });
    await expect(text).toMatchFileSnapshot(file('only-voter-replaced'));
  });

  test('leadership is handed to a member that has to catch up first', async () => {
    const text = play(THREE, (cluster) => {
      elect(cluster, 'n1');
      cluster.tick('n1', 2);
      cluster.settle();
      cluster.transcript = [];
      cluster.propose('n1', 'a');
      cluster.transfer('n1', 'n3');
      cluster.propose('n1', 'b');
      cluster.settle();
      expect(cluster.leader()).toBe('n3');
    });
    await expect(text).toMatchFileSnapshot(file('transfer'));
  });

  test('a follower that was away is caught up by a snapshot, while others write', async () => {
    const text = play(THREE, (cluster) => {
      elect(cluster, 'n1');
      cluster.isolate('n3');
      for (let i = 0; i < 4; i += 1) cluster.propose('n1', `p${i}`);
      cluster.settle();
      cluster.transcript = [];
      cluster.snapshots.compact('n1', 1);
      cluster.heal();
      cluster.tick('n1', 2);
      while (cluster.network.length > 0) cluster.deliver(0);
      cluster.propose('n1', 'while it travels');
      cluster.snapshots.deliver(0);
      cluster.settle();
      expect(cluster.node('n3').commitIndex).toBe(6);
      expect(cluster.member('n3').durable.logStart).toEqual({ index: 5, term: 1 });
    });
    await expect(text).toMatchFileSnapshot(file('snapshot'));
  });

  test('a snapshot whose answer is lost is not sent again', async () => {
    const text = play(THREE, (cluster) => {
      elect(cluster, 'n1');
      cluster.isolate('n3');
      for (let i = 0; i < 4; i += 1) cluster.propose('n1', `p${i}`);
      cluster.settle();
      cluster.snapshots.compact('n1', 0);
      cluster.heal();
      cluster.tick('n1', 2);
      while (cluster.network.length > 0) cluster.deliver(0);
      cluster.transcript = [];
      cluster.snapshots.deliver(0, { ack: false });
      for (let i = 0; i < 3; i += 1) cluster.snapshots.install('n3');
      cluster.network.length = 0;
      cluster.tick('n1', 2);
      cluster.settle();
      expect(cluster.snapshots.counts.sent).toBe(1);
      expect(cluster.node('n3').commitIndex).toBe(5);
    });
    await expect(text).toMatchFileSnapshot(file('snapshot-answer-lost'));
  });

  test('power fails between the switch of the state and the reset of the log', async () => {
    const text = play(THREE, (cluster) => {
      elect(cluster, 'n1');
      cluster.isolate('n3');
      for (let i = 0; i < 4; i += 1) cluster.propose('n1', `p${i}`);
      cluster.settle();
      cluster.snapshots.compact('n1', 0);
      cluster.heal();
      cluster.tick('n1', 2);
      while (cluster.network.length > 0) cluster.deliver(0);
      cluster.transcript = [];
      cluster.snapshots.deliver(0);
      cluster.snapshots.install('n3');
      cluster.crash('n3');
      cluster.start('n3');
      cluster.tick('n1', 2);
      cluster.settle();
      expect([cluster.node('n3').commitIndex, cluster.snapshots.counts.sent]).toEqual([5, 1]);
    });
    await expect(text).toMatchFileSnapshot(file('snapshot-power-failure'));
  });

  test('a leader reads by its lease until it runs out, and another is elected only then', async () => {
    const text = play({ ...THREE, leaseMs: 100 }, (cluster) => {
      elect(cluster, 'n1');
      cluster.tick('n1', 2);
      cluster.settle();
      cluster.transcript = [];
      cluster.isolate('n1');
      cluster.pass(60);
      cluster.read('n1');
      cluster.step('n2', { type: 'campaign' });
      cluster.note('n2 may not campaign yet');
      cluster.pass(50);
      cluster.read('n1');
      cluster.step('n3', { type: 'disconnected', member: 'n1' });
      elect(cluster, 'n2');
      cluster.tick('n2', 2);
      cluster.settle();
      cluster.read('n2');
      cluster.heal();
      cluster.tick('n2', 2);
      cluster.settle();
    });
    await expect(text).toMatchFileSnapshot(file('lease'));
  });
});
