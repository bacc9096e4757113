import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { FakeStore, fakeStatus, run } from './fakes.js';

/** n1, n2 and n3 vote; n4 and n5 wait to be let in at h:4 and h:5. */
function cluster(): FakeStore {
  const store = new FakeStore();
  for (const name of ['n1', 'n2', 'n3', 'n4', 'n5']) {
    const status = { replica: name, incarnation: `i-${name}` };
    store.statuses.set(`h:${name.slice(1)}`, fakeStatus(status));
  }
  // The client that follows the leader asks it for its status, too.
  const leader = fakeStatus({ role: 'leader', lastIndex: 200 });
  store.statuses.set('127.0.0.1:7001', {
    ...leader,
    followers: [{ name: 'n4', matchIndex: 50, state: 'replicate', active: true }],
  });
  return store;
}

describe('cluster members', () => {
  test('names each member with its role, its address and its disk', async () => {
    const result = await run(['cluster', 'members'], { store: cluster() });
    expect(result.exit).toBe(0);
    expect(result.stdout).toBe(
      [
        'MEMBER\tROLE\tADDRESS\tINCARNATION\tNOTE',
        'n1\tvoter\th:1\ti-n1\tleads',
        'n2\tvoter\th:2\ti-n2\t',
        'n3\tvoter\th:3\ti-n3\t',
        '',
      ].join('\n'),
    );
  });

  test('-o json is one object, with the index for --expect-index', async () => {
    const result = await run(['cluster', 'members', '-o', 'json'], { store: cluster() });
    expect(JSON.parse(result.stdout)).toMatchObject({
      leader: 'n1',
      index: 5,
      committed: true,
      joint: false,
      members: [{ name: 'n1', role: 'voter' }, { name: 'n2' }, { name: 'n3' }],
    });
  });

  test('a learner on its way to a vote is told in words, also whose place it takes', async () => {
    const store = cluster();
    const learner = { name: 'n4', incarnation: 'i', address: 'h:4', role: 'learner' } as const;
    store.cluster.members.push({ ...learner, promote: true, replaces: 'n2.i-n2' });
    store.cluster.polls = 99;
    const result = await run(['cluster', 'members'], { store, isTerminal: true });
    expect(result.stdout).toContain('gets a vote when it has caught up, in the place of n2\n');
  });
});

describe('cluster add', () => {
  test('asks the replica who it is, adds it, and waits until it votes', async () => {
    const store = cluster();
    const result = await run(['cluster', 'add', 'n4', 'h:4'], { store });
    expect(result.exit).toBe(0);
    expect(store.cluster.changes).toEqual([
      {
        expectedIndex: 5,
        add: [{ name: 'n4', incarnation: 'i-n4', address: 'h:4', promote: true, replaces: null }],
        promote: [],
        demote: [],
        remove: [],
      },
    ]);
    expect(store.cluster.text).toBe('n1 n2 n3 n4');
    expect(result.stderr).toBe(
      'n4 at h:4 is a learner now, and gets a vote when it has caught up\nn4 has a vote\n',
    );
    expect(result.stdout).toContain('n4\tvoter\th:4\ti-n4\t\n');
    expect(store.open).toBe(0);
  });

  test('on a terminal it shows how far the newcomer is', async () => {
    const store = cluster();
    store.cluster.polls = 3;
    let nowMs = 0;
    const result = await run(['cluster', 'add', 'n4', 'h:4'], {
      store,
      isTerminal: true,
      nowMs: () => nowMs,
      sleep: async (ms) => {
        nowMs += ms;
      },
    });
    expect(result.stderr).toContain('n4 has 50 of 200 entries (25%)');
  });

  test('--no-promote makes it a learner, --no-wait does not wait for its vote', async () => {
    const learner = cluster();
    const first = await run(['cluster', 'add', 'n4', 'h:4', '--no-promote'], { store: learner });
    expect(first.stderr).toBe('n4 at h:4 is a learner now\n');
    expect(learner.cluster.text).toBe('(n4) n1 n2 n3');
    expect(learner.cluster.members.at(-1)?.promote).toBe(false);
    const hasty = cluster();
    hasty.cluster.polls = 99;
    const second = await run(['cluster', 'add', 'n4', 'h:4', '--no-wait'], { store: hasty });
    expect(second).toMatchObject({
      exit: 0,
      stderr: 'n4 at h:4 is a learner now, and gets a vote when it has caught up\n',
    });
  });

  test('BALSA_NO_PROMOTE=1 is --no-promote', async () => {
    const store = cluster();
    await run(['cluster', 'add', 'n4', 'h:4'], { store, env: { BALSA_NO_PROMOTE: '1' } });
    expect(store.cluster.changes[0]?.add[0]?.promote).toBe(false);
  });

  test('a replica of another name, and one that does not answer, are not added', async () => {
    const store = cluster();
    const other = await run(['cluster', 'add', 'n9', 'h:4'], { store });
    expect(other.exit).toBe(1);
    expect(other.stderr).toContain(
      'error MEMBER_MISMATCH: the replica at h:4 is called n4, not n9\n',
    );
    const silent = await run(['cluster', 'add', 'n6', 'h:6'], { store });
    expect(silent.exit).toBe(5);
    expect(silent.stderr).toContain('n6 does not answer at h:6 (ECONNREFUSED)');
    expect(silent.stderr).toContain('balsa start --name n6 --join --advertise h:6');
    expect(store.cluster.changes).toEqual([]);
  });

  test('a replica of another cluster is not added: it would never come', async () => {
    const store = cluster();
    const n4 = { replica: 'n4', incarnation: 'i-n4' };
    store.statuses.set('h:4', fakeStatus({ ...n4, clusterId: 'c2' }));
    const other = await run(['cluster', 'add', 'n4', 'h:4'], { store });
    expect(other.exit).toBe(1);
    expect(other.stderr).toContain(
      'error CLUSTER_MISMATCH: n4 at h:4 belongs to another cluster (c2, this one is c1): start it with --join',
    );
    store.statuses.set('h:4', fakeStatus({ ...n4, cluster: 'trial', clusterId: '' }));
    const args = ['cluster', 'replace', 'n3', 'n4', 'h:4'];
    const named = await run(args, { store });
    expect(named.exit).toBe(1);
    expect(named.stderr).toContain(
      'n4 at h:4 is for a cluster called "trial", this one is "balsa"',
    );
    expect(store.cluster.changes).toEqual([]);
  });

  test('a member that has moved is told to the others', async () => {
    const store = cluster();
    const status = store.statuses.get('h:3');
    if (status !== undefined) store.statuses.set('h:33', status);
    const result = await run(['cluster', 'add', 'n3', 'h:33'], { store });
    expect(result).toMatchObject({ exit: 0, stderr: 'n3 is reached at h:33 now\n' });
    expect(store.cluster.changes).toMatchObject([
      { add: [{ name: 'n3', incarnation: 'i-n3', address: 'h:33' }] },
    ]);
  });

  test('a newcomer of whom the leader hears nothing is not waited for for ever', async () => {
    const store = cluster();
    store.cluster.polls = Number.POSITIVE_INFINITY;
    let nowMs = 0;
    const options = {
      store,
      nowMs: () => nowMs,
      sleep: async (ms: number) => {
        nowMs += ms;
        if (nowMs > 600_000) throw new Error('it waits for ever');
      },
    };
    const result = await run(['cluster', 'add', 'n5', 'h:5'], options);
    expect(result.exit).toBe(5);
    expect(result.stderr).toContain('the leader has heard nothing of n5 for 1m');
    // One that is slow is waited for.
    store.cluster.members.pop();
    await expect(run(['cluster', 'add', 'n4', 'h:4'], options)).resolves.toMatchObject({ exit: 1 });
    expect(nowMs).toBeGreaterThan(600_000);
  });

  test('one that is there already is not added again; another disk of its name is refused', async () => {
    const store = cluster();
    const again = await run(['cluster', 'add', 'n3', 'h:3'], { store });
    expect(again).toMatchObject({ exit: 0, stderr: 'n3 is a voter already\n' });
    store.statuses.set('h:3', fakeStatus({ replica: 'n3', incarnation: 'wiped' }));
    const wiped = await run(['cluster', 'add', 'n3', 'h:3'], { store });
    expect(wiped.exit).toBe(2);
    expect(wiped.stderr).toContain('balsa cluster replace n3 n3 h:3');
    expect(store.cluster.changes).toEqual([]);
  });

  test('when somebody removes it meanwhile, the wait ends with exit 4', async () => {
    const store = cluster();
    store.cluster.polls = 99;
    let looks = 0;
    store.cluster.onLook = () => {
      looks += 1;
      if (looks === 3) store.cluster.members.pop();
    };
    const result = await run(['cluster', 'add', 'n4', 'h:4'], { store });
    expect(result.exit).toBe(4);
    expect(result.stderr).toContain('n4 was removed, by another change');
  });

  test('it waits until the joint configuration is left, too', async () => {
    const store = cluster();
    let looks = 0;
    store.cluster.onLook = () => {
      looks += 1;
      store.cluster.joint = looks < 6;
    };
    const result = await run(['cluster', 'add', 'n4', 'h:4', '-o', 'json'], { store });
    expect(JSON.parse(result.stdout)).toMatchObject({ joint: false });
    expect(looks).toBe(6);
  });

  test('Ctrl-C while it waits says that the change goes on', async () => {
    const store = cluster();
    store.cluster.polls = 99;
    const interruption = new AbortController();
    const result = await run(['cluster', 'add', 'n4', 'h:4'], {
      store,
      interrupted: interruption.signal,
      sleep: async () => interruption.abort(),
    });
    expect(result.exit).toBe(130);
    expect(result.stderr).toContain('the change is decided; it goes on without this command\n');
  });

  test('a leader that is lost while it waits is waited for, but not for ever', async () => {
    const store = cluster();
    let nowMs = 0;
    let looks = 0;
    store.cluster.polls = 3;
    store.cluster.onLook = () => {
      looks += 1;
      if (looks > 1 && looks < 5) throw new BalsaError('NO_QUORUM', 'no leader');
    };
    const options = {
      store,
      nowMs: () => nowMs,
      sleep: async (ms: number) => {
        nowMs += ms;
      },
    };
    expect((await run(['cluster', 'add', 'n4', 'h:4'], options)).exit).toBe(0);
    store.cluster.polls = 99;
    looks = 0;
    store.cluster.onLook = () => {
      looks += 1;
      if (looks > 1) throw new BalsaError('NO_QUORUM', 'no leader');
    };
    expect((await run(['cluster', 'add', 'n5', 'h:5'], options)).exit).toBe(5);
    expect(nowMs).toBeGreaterThan(60_000);
  });
});

describe('changes of the members', () => {
  test.each([
    [['remove', 'n3'], 'n1 n2', 'n3 has left: its process stops'],
    [['remove', 'n2', 'n3'], 'n1', 'n2 and n3 have left'],
    [['demote', 'n3'], '(n3) n1 n2', 'n3 is a learner\n'],
  ])('%j makes them "%s"', async (args, members, words) => {
    const store = cluster();
    const result = await run(['cluster', ...args], { store });
    expect(result.exit).toBe(0);
    expect(store.cluster.text).toBe(members);
    expect(result.stderr).toContain(words);
    expect(store.cluster.changes).toHaveLength(1);
  });

  test('promote gives a learner its vote; whoever is as asked for is left alone', async () => {
    const store = cluster();
    await run(['cluster', 'demote', 'n2'], { store });
    const result = await run(['cluster', 'promote', 'n2', 'n3'], { store });
    expect(result).toMatchObject({ exit: 0, stderr: 'n2 and n3 have votes\n' });
    expect(store.cluster.changes.at(-1)).toMatchObject({ promote: ['n2'] });
    await run(['cluster', 'promote', 'n2', 'n3'], { store });
    expect(store.cluster.changes).toHaveLength(2);
  });

  test('a name that no member has is refused, with the one that was meant', async () => {
    const store = cluster();
    store.cluster.members = store.cluster.members.map((member) =>
      member.name === 'n3' ? { ...member, name: 'replica-c' } : member,
    );
    const result = await run(['cluster', 'remove', 'replica-d'], { store });
    expect(result.exit).toBe(2);
    expect(result.stderr).toContain(
      'no member is called replica-d; there are n1, n2, replica-c (did you mean replica-c?)',
    );
  });

  test('without --expect-index a change in between is looked at anew', async () => {
    const store = cluster();
    store.cluster.onChange = () => {
      if (store.cluster.changes.length === 1) store.cluster.index = 9;
    };
    const result = await run(['cluster', 'remove', 'n3'], { store });
    expect(result.exit).toBe(0);
    expect(store.cluster.changes.map((change) => change.expectedIndex)).toEqual([5, 9]);
  });

  test.each([
    ['remove', 'n4', 'has removed it'],
    ['promote', 'n2', 'has given it the vote'],
  ])('with --expect-index %s %s is exit 4, too, when somebody else %s', async (change, name) => {
    const store = cluster();
    const result = await run(['cluster', change, name, '--expect-index', '4'], { store });
    expect(result.stderr).toContain('their index is 5, not 4\n');
    expect(result.exit).toBe(4);
    expect(store.cluster.changes).toEqual([]);
  });

  test('with --expect-index it is exit 4, and nothing is done', async () => {
    const store = cluster();
    const result = await run(['cluster', 'remove', 'n3', '--expect-index', '4'], { store });
    expect(result.exit).toBe(4);
    expect(result.stderr).toContain(
      'error CONFIGURATION_CONFLICT: the members have changed: their index is 5, not 4\n',
    );
    expect(store.cluster.text).toBe('n1 n2 n3');
    const right = await run(['cluster', 'remove', 'n3', '--expect-index', '5'], { store });
    expect(right.exit).toBe(0);
  });

  test('a change that is pending is waited for, as long as --timeout says', async () => {
    const store = cluster();
    let nowMs = 0;
    store.cluster.onChange = () => {
      if (nowMs < 3000) throw new BalsaError('CHANGE_PENDING', 'another one');
    };
    const clock = {
      nowMs: () => nowMs,
      sleep: async (ms: number) => {
        nowMs += ms;
      },
    };
    const tooShort = await run(['cluster', 'remove', 'n3', '--timeout', '1s'], { store, ...clock });
    expect(tooShort.exit).toBe(5);
    expect((await run(['cluster', 'remove', 'n3'], { store, ...clock })).exit).toBe(0);
  });

  test('a removal whose answer was lost is found done', async () => {
    const store = cluster();
    store.cluster.onChange = () => {
      store.cluster.members = store.cluster.members.filter(({ name }) => name !== 'n3');
      store.cluster.index = 8;
      throw new BalsaError('UNREACHABLE', 'the leader was lost', { outcome: 'unknown' });
    };
    const result = await run(['cluster', 'remove', 'n3'], { store });
    expect(result.exit).toBe(0);
    expect(store.cluster.changes).toHaveLength(1);
  });

  test('a removal that is in effect and not committed is not done: it may be taken back', async () => {
    const store = cluster();
    const { cluster: fake } = store;
    const { members: before, index } = fake;
    fake.onChange = () => {
      fake.members = before.filter(({ name }) => name !== 'n3');
      fake.index = 8;
      fake.committed = false;
      throw new BalsaError('UNREACHABLE', 'the leader was lost', { outcome: 'unknown' });
    };
    let looks = 0;
    fake.onLook = () => {
      looks += 1;
      if (looks !== 3) return;
      // Another leads by now, that never had it.
      Object.assign(fake, { members: before, index, committed: true, onChange: () => {} });
    };
    const result = await run(['cluster', 'remove', 'n3'], { store });
    expect([result.exit, fake.changes.length, fake.text]).toEqual([0, 2, 'n1 n2']);
  });

  test('what the leader refuses is told with what to try', async () => {
    const store = cluster();
    store.cluster.onChange = () => {
      throw new BalsaError('QUORUM_AT_RISK', 'of n1, n2 only n1 is heard from');
    };
    const result = await run(['cluster', 'remove', 'n3'], { store });
    expect(result.exit).toBe(4);
    expect(result.stderr).toBe(
      'error QUORUM_AT_RISK: of n1, n2 only n1 is heard from\n' +
        'try: bring the missing members back first; balsa status shows who they are\n',
    );
  });
});

describe('cluster replace', () => {
  test('puts several in the place of others in one change', async () => {
    const store = cluster();
    const args = ['cluster', 'replace', 'n2', 'n4', 'h:4', 'n3', 'n5', 'h:5'];
    const result = await run(args, { store });
    expect(result.exit).toBe(0);
    expect(store.cluster.changes).toMatchObject([
      {
        add: [
          { name: 'n4', incarnation: 'i-n4', promote: true, replaces: 'n2' },
          { name: 'n5', incarnation: 'i-n5', promote: true, replaces: 'n3' },
        ],
      },
    ]);
    expect(store.cluster.text).toBe('n1 n4 n5');
    expect(result.stderr).toBe(
      'n4 and n5 are learners now, and get the votes of n2 and n3 when all have caught up\n' +
        'replaced n2 by n4 and n3 by n5\n',
    );
  });

  test('a wiped member takes its own place', async () => {
    const store = cluster();
    store.statuses.set('h:3', fakeStatus({ replica: 'n3', incarnation: 'new' }));
    const result = await run(['cluster', 'replace', 'n3', 'n3', 'h:3'], { store });
    expect(result.exit).toBe(0);
    expect(store.cluster.members.find(({ name }) => name === 'n3')?.incarnation).toBe('new');
  });

  test('half a triple is wrong usage; a learner has no vote to take', async () => {
    const store = cluster();
    const half = await run(['cluster', 'replace', 'n2', 'n4'], { store });
    expect(half.exit).toBe(2);
    expect(half.stderr).toContain('give triples of OLD NEW HOST:PORT; found 2 words');
    await run(['cluster', 'demote', 'n2'], { store });
    const learner = await run(['cluster', 'replace', 'n2', 'n4', 'h:4'], { store });
    expect(learner.exit).toBe(2);
    expect(learner.stderr).toContain('n2 has no vote that n4 could take');
  });
});

describe('cluster transfer', () => {
  test('prints who leads then; without a name the leader chooses', async () => {
    const store = cluster();
    const named = await run(['cluster', 'transfer', 'n3'], { store });
    expect(named).toMatchObject({ exit: 0, stdout: 'n3\n' });
    const free = await run(['cluster', 'transfer', '-o', 'json'], { store });
    expect(JSON.parse(free.stdout)).toEqual({ leader: 'n2' });
    expect(store.cluster.transfers).toEqual(['n3', null]);
  });

  test('to the leader itself nothing is done; to a stranger it is refused', async () => {
    const store = cluster();
    expect(await run(['cluster', 'transfer', 'n1'], { store })).toMatchObject({ stdout: 'n1\n' });
    expect((await run(['cluster', 'transfer', 'n7'], { store })).exit).toBe(2);
    expect(store.cluster.transfers).toEqual([]);
  });
});
