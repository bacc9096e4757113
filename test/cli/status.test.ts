import { describe, expect, test } from 'vitest';
import { voter } from './fake-members.js';
import { FakeStore, fakeStatus, run } from './fakes.js';

const ADDRESSES = { n1: 'h:1', n2: 'h:2', n3: 'h:3' } as const;
const members = Object.entries(ADDRESSES).map(([name, address]) => ({ name, address }));

/** A cluster of three of which the named ones answer; n1 leads if it answers. */
function cluster(...alive: (keyof typeof ADDRESSES)[]): FakeStore {
  const store = new FakeStore();
  for (const name of alive) {
    const isLeader = name === 'n1';
    const leader = alive.includes('n1') ? 'n1' : null;
    const appliedIndex = isLeader ? 100 : 97;
    const role = isLeader ? 'leader' : 'follower';
    store.statuses.set(
      ADDRESSES[name],
      fakeStatus({ replica: name, role, leader, appliedIndex, commitIndex: appliedIndex, members }),
    );
  }
  return store;
}

describe('status', () => {
  test('one endpoint is enough: the others are asked by the addresses it names', async () => {
    const store = cluster('n1', 'n2', 'n3');
    const result = await run(['status', '--endpoints', 'h:2'], { store });
    expect(result.exit).toBe(0);
    expect(result.stdout).toBe(
      [
        'REPLICA\tADDRESS\tROLE\tTERM\tLEADER\tCOMMIT\tAPPLIED\tLAG\tREVISION\tOLDEST\tLOG FROM\tWAL MiB\tFSYNC ms\tWATCHES\tUNMERGED\tUPTIME',
        'n1\th:1\tleader\t3\tn1\t100\t100\t0\t90\t40\t1\t3.0\t1.3\t2\t0\t61000',
        'n2\th:2\tfollower\t3\tn1\t97\t97\t3\t90\t40\t1\t3.0\t1.3\t2\t0\t61000',
        'n3\th:3\tfollower\t3\tn1\t97\t97\t3\t90\t40\t1\t3.0\t1.3\t2\t0\t61000',
        '',
      ].join('\n'),
    );
    expect(store.connections).toMatchObject([
      { endpoints: ['h:2'], followLeader: false },
      { endpoints: ['h:1'], followLeader: false },
      { endpoints: ['h:3'], followLeader: false },
    ]);
    expect(store.open).toBe(0);
  });

  test('a minority is shown, with those that are unreachable, and exits 5', async () => {
    const args = ['status', '--endpoints', 'h:1,h:2,h:3', '-o', 'json'];
    const result = await run(args, { store: cluster('n2') });
    expect(result.exit).toBe(5);
    const rows = result.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows).toMatchObject([
      { replica: 'n1', address: 'h:1', reachable: false, error: { code: 'UNREACHABLE' } },
      { replica: 'n2', address: 'h:2', reachable: true, lag: 0, limits: { keyBytesMax: 65536 } },
      { replica: 'n3', address: 'h:3', reachable: false },
    ]);
    expect(result.stderr).toContain('no leader');
  });

  test('on a terminal it is a table with a reason per unreachable member', async () => {
    const result = await run(['status', '--endpoints', 'h:1'], {
      store: cluster('n1', 'n3'),
      isTerminal: true,
      env: { NO_COLOR: '1' },
    });
    expect(result.exit).toBe(0);
    expect(result.stdout).toContain(
      [
        'REPLICA  ADDRESS  ROLE         TERM  LEADER  COMMIT  APPLIED  LAG  REVISION  OLDEST  LOG FROM  WAL MiB  FSYNC ms  WATCHES  UNMERGED  UPTIME',
        'n1       h:1      leader          3  n1         100      100    0        90      40         1      3.0       1.3        2         0   1m 1s',
        'n2       h:2      unreachable     -  -            -        -    -         -       -         -        -         -        -         -       -',
      ].join('\n'),
    );
    expect(result.stderr).toBe('n2: UNREACHABLE, ECONNREFUSED\n');
  });

  test('nobody answers: exit 5, and each endpoint is named', async () => {
    const result = await run(['status', '--endpoints', 'h:1,h:2'], { store: cluster() });
    expect(result).toMatchObject({ exit: 5, stdout: '' });
    expect(result.stderr).toMatch(
      /^error UNREACHABLE: no endpoint answers: h:1: ECONNREFUSED; h:2: ECONNREFUSED\ntry: is it/,
    );
  });

  test('a member that is reached at another address than the one it tells has one row', async () => {
    const store = cluster('n1', 'n2', 'n3');
    const status = store.statuses.get('h:1');
    if (status !== undefined) store.statuses.set('localhost:1', status);
    const result = await run(['status', '--endpoints', 'localhost:1'], { store });
    expect(result.stdout.trimEnd().split('\n')).toHaveLength(4);
  });

  test('who has left is not shown, however old the memory of another member is', async () => {
    const store = cluster('n1', 'n2');
    const [n1, n2] = [store.statuses.get('h:1'), store.statuses.get('h:2')];
    if (n1 === undefined || n2 === undefined) throw new Error('two statuses');
    store.statuses.set('h:1', { ...n1, members: members.slice(0, 2) });
    const result = await run(['status', '--endpoints', 'h:1,h:2'], { store });
    expect(result.stdout.split('\n').map((line) => line.slice(0, 2))).toEqual([
      'RE',
      'n1',
      'n2',
      '',
    ]);
  });

  test('a learner is told from a voter, and one that waits to be let in has a row', async () => {
    const store = cluster('n1', 'n2', 'n3');
    const [n1, n3] = [store.statuses.get('h:1'), store.statuses.get('h:3')];
    if (n1 === undefined || n3 === undefined) throw new Error('two statuses');
    const membership = {
      index: 7,
      committed: true,
      joint: true,
      members: [
        voter('n1', 'h:1'),
        { ...voter('n2', 'h:2'), role: 'outgoing' as const },
        { ...voter('n3', 'h:3'), role: 'learner' as const, promote: true },
      ].map((member) => ({ ...member, incarnation: 'i1' })),
    };
    const followers = [
      { name: 'n2', matchIndex: 100, state: 'replicate', active: false },
      { name: 'n3', matchIndex: 3, state: 'snapshot', active: true },
    ];
    store.statuses.set('h:1', { ...n1, membership, followers });
    const waiting = { replica: 'n9', role: 'joining', clusterId: '', incarnation: 'i9' };
    store.statuses.set('h:9', fakeStatus(waiting));
    const args = ['status', '--endpoints', 'h:1,h:9'];
    const plain = await run(args, { store });
    const roles = plain.stdout.split('\n').map((line) => line.split('\t')[2]);
    expect(roles).toEqual(['ROLE', 'leader', 'follower, leaving', 'learner', 'joining', undefined]);
    const table = await run(args, { store, isTerminal: true });
    expect(table.stderr).toBe(
      [
        'configuration 7: the voters are being changed',
        'n3 gets a vote when it has caught up',
        'n2 does not answer the leader',
        'n3 gets a snapshot: the log no longer has what it lacks',
        '',
      ].join('\n'),
    );
    const json = await run([...args, '-o', 'json'], { store });
    expect(JSON.parse(json.stdout.split('\n')[2] ?? '')).toMatchObject({
      replica: 'n3',
      member: 'learner',
    });
  });

  test('members of two clusters of one name are not shown as one with two leaders', async () => {
    const store = cluster('n1', 'n2');
    const n1 = store.statuses.get('h:1');
    if (n1 === undefined) throw new Error('a status');
    store.statuses.set('h:1', { ...n1, clusterId: 'c9' });
    const result = await run(['status', '--endpoints', 'h:1,h:2'], { store });
    expect(result.exit).toBe(1);
    expect(result.stdout).toContain('n1\th:1\tleader');
    expect(result.stderr).toContain(
      'error CLUSTER_MISMATCH: these are members of different clusters: n1 (c9); n2 (c1)\n',
    );
  });

  test('a space alarm is told, and the figures of the store are in the JSON', async () => {
    const store = cluster('n1', 'n2', 'n3');
    const n1 = store.statuses.get('h:1');
    if (n1 === undefined) throw new Error('a status');
    const full = { ...n1.store, spaceAlarm: true, spaceQuotaBytes: 4 * 1024 * 1024 };
    store.statuses.set('h:1', { ...n1, store: full });
    const table = await run(['status', '--endpoints', 'h:1'], { store, isTerminal: true });
    expect(table.stderr).toContain('space alarm: 5.0 MiB of 4.0 MiB; puts are refused');
    const json = await run(['status', '--endpoints', 'h:1', '-o', 'json'], { store });
    expect(JSON.parse(json.stdout.split('\n')[0] ?? '')).toMatchObject({
      watches: 2,
      store: { leases: 4, compactedRevision: 40, spaceAlarm: true },
    });
  });

  test('what waits to be merged is told of each, and why, where that is known', async () => {
    const store = cluster('n1', 'n2', 'n3');
    const change = (address: string, ap: object | null, rest = {}): void => {
      const status = store.statuses.get(address);
      if (status === undefined) throw new Error('a status');
      store.statuses.set(address, {
        ...status,
        ...rest,
        ap: ap && { ...status.ap, ...ap },
      } as typeof status);
    };
    change('h:1', { refusal: 'the store is full' });
    change('h:2', { pending: 1200, ownBytes: 2 * 1024 * 1024, copiesBytes: 512 }, { leader: null });
    change('h:3', null);
    const table = await run(['status', '--endpoints', 'h:1'], { store, isTerminal: true });
    const column = (line: string): string => line.trim().split(/ {2,}/).at(-2) ?? '';
    expect(table.stdout.trimEnd().split('\n').map(column)).toEqual(['UNMERGED', '0', '1,200', '-']);
    expect(table.stderr).toBe(
      [
        'n1 cannot merge ap calls: the store is full',
        'n2 keeps what ap calls changed until it hears a leader: 2.0 MiB of its own, 512 bytes of others',
        '',
      ].join('\n'),
    );
    const json = await run(['status', '--endpoints', 'h:1', '-o', 'json'], { store });
    expect(JSON.parse(json.stdout.split('\n')[1] ?? '')).toMatchObject({
      ap: { origin: 'aaaaaaaaaaaaaaaa', pending: 1200, refusal: null },
    });
  });

  test('a replica of a version without ap procedures is shown', async () => {
    const store = cluster('n1');
    const { ap: _, ...older } = store.statuses.get('h:1') ?? fakeStatus({});
    store.statuses.set('h:1', older);
    const { stdout, exit } = await run(['status', '--endpoints', 'h:1'], { store });
    expect({ exit, row: stdout.split('\n')[1] }).toEqual({
      ...{ exit: 0, row: expect.stringMatching(/\t2\t-\t61000$/) },
    });
  });

  test('a follower that lacks much is named', async () => {
    const store = cluster('n1', 'n2', 'n3');
    const n1 = store.statuses.get('h:1');
    if (n1 === undefined) throw new Error('a status');
    const followers = [{ name: 'n2', matchIndex: 1000, state: 'replicate', active: true }];
    store.statuses.set('h:1', { ...n1, commitIndex: 5000, followers });
    const table = await run(['status', '--endpoints', 'h:1'], { store, isTerminal: true });
    expect(table.stderr).toBe('n2 is 4,000 entries behind\n');
  });
});
