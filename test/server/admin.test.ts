import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { formedWith } from '../../src/raft/configuration.js';
import type { Configuration, ConfigurationChange, MemberId, Role } from '../../src/raft/types.js';
import type { AdminResult } from '../../src/rpc/protocol.js';
import { Admin } from '../../src/server/admin.js';
import { Roster } from '../../src/server/roster.js';
import { wholeHello } from './whole-hello.js';

/** A leader that takes every change, or refuses the next ones. */
function leader(configuration: Configuration = formedWith(['n1.a', 'n2.b', 'n3.c'])) {
  const configured = new Map([1, 2, 3].map((i) => [`n${i}`, `h:${i}`]));
  const self = { name: 'n1', incarnation: 'a' };
  const roster = new Roster({ self, address: 'h:1', configured }, configuration);
  const changes: ConfigurationChange[] = [];
  const transfers: (MemberId | null)[] = [];
  const refusals: BalsaError[] = [];
  const warnings: string[] = [];
  const active = new Set<MemberId>();
  const replica = {
    leader: 'n1' as string | null,
    node: {
      role: 'leader' as Role,
      mayBeAlive: (member: MemberId) => active.has(member),
    },
    machine: { knownCommandVersion: 0 },
    changeMembers(change: ConfigurationChange, done: (error: BalsaError | null) => void) {
      changes.push(change);
      const refused = refusals.shift() ?? null;
      if (refused === null) {
        const next = { ...roster.configuration, ...change, index: change.expectedIndex + 1 };
        roster.update(next, next);
      }
      done(refused);
    },
    transfer(target: MemberId | null, done: (error: BalsaError | null) => void) {
      transfers.push(target);
      replica.leader = 'n2';
      done(refusals.shift() ?? null);
    },
  };
  const admin = new Admin({
    replica,
    roster,
    log: (level, fields) => void (level === 'warn' && warnings.push(String(fields.reason))),
  });
  return { admin, replica, roster, changes, transfers, refusals, warnings, active };
}

const command = (change: object): string =>
  JSON.stringify({
    op: 'change-members',
    expectedIndex: 0,
    add: [],
    promote: [],
    demote: [],
    remove: [],
    ...change,
  });

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof BalsaError ? error.code : String(error)),
  );
}

describe('a command of an operator', () => {
  test('is carried out by the leader, who answers with the members as they are then', async () => {
    const { admin, changes } = leader();
    const result: AdminResult = JSON.parse(await admin.run(command({ remove: ['n3'] })));
    expect(changes).toMatchObject([{ expectedIndex: 0, voters: ['n1.a', 'n2.b'] }]);
    expect(result.members.index).toBe(1);
    expect(result.members.members.map((member) => member.name)).toEqual(['n1', 'n2']);
  });

  test('has the log say of members that it does not touch where they are by their own word, not by the file here', async () => {
    const { admin, roster, changes } = leader();
    const add = (
      name: string,
      incarnation: string,
      address: string,
      expectedIndex: number,
    ): string =>
      command({
        expectedIndex,
        add: [{ name, incarnation, address, promote: false, replaces: null }],
      });
    roster.heard(wholeHello('n3', 'c', 'new:3'));
    await admin.run(add('n4', 'd', 'h:4', 0));
    expect(changes[0]?.addresses).toEqual([
      { member: 'n1.a', address: 'h:1' },
      { member: 'n2.b', address: 'h:2' },
      { member: 'n3.c', address: 'new:3' },
      { member: 'n4.d', address: 'h:4' },
    ]);
    // What the log says counts from then on, until an operator says otherwise.
    roster.heard(wholeHello('n3', 'c', 'newer:3'));
    await admin.run(add('n5', 'e', 'h:5', 1));
    expect(changes[1]?.addresses).toContainEqual({ member: 'n3.c', address: 'new:3' });
    await admin.run(add('n3', 'c', 'newer:3', 2));
    expect(changes[2]?.addresses).toContainEqual({ member: 'n3.c', address: 'newer:3' });
  });

  test('puts an address in the log when this replica goes by another, though the member has said it', async () => {
    const { admin, roster, changes } = leader();
    roster.heard(wholeHello('n3', 'c', 'new:3'));
    const n3 = { name: 'n3', incarnation: 'c', address: 'new:3', promote: false, replaces: null };
    await admin.run(command({ add: [n3] }));
    expect(changes).toHaveLength(1);
    expect(roster.addressOf('n3.c')).toBe('new:3');
    await admin.run(command({ expectedIndex: 1, add: [n3] }));
    expect(changes).toHaveLength(1);
  });

  test('puts the new address of the leader itself in the log, which has moved and is the only one to know', async () => {
    const { admin, roster, changes } = leader();
    const n1 = { name: 'n1', incarnation: 'a', promote: false, replaces: null };
    await admin.run(command({ add: [{ ...n1, address: 'h:9' }] }));
    expect(changes).toHaveLength(1);
    // What others look for is not what it says of itself, and can be put right.
    const told = () => roster.status().members.find(({ name }) => name === 'n1')?.address;
    expect([told(), roster.addressOf('n1.a')]).toEqual(['h:9', 'h:1']);
    await admin.run(command({ expectedIndex: 1, add: [{ ...n1, address: 'h:1' }] }));
    expect(changes[1]?.addresses).toContainEqual({ member: 'n1.a', address: 'h:1' });
    expect(told()).toBe('h:1');
  });

  test('that is there already needs no entry because others have moved', async () => {
    const { admin, roster, changes } = leader();
    roster.heard(wholeHello('n3', 'c', 'new:3'));
    await admin.run(command({ promote: ['n2'] }));
    expect(changes).toEqual([]);
  });

  test('does not add again a data folder that was removed; another one of that name it does', async () => {
    const { admin, changes } = leader();
    await admin.run(command({ remove: ['n3'] }));
    const add = (incarnation: string): object => ({
      add: [{ name: 'n3', incarnation, address: 'h:3', promote: true, replaces: null }],
      expectedIndex: 1,
    });
    await expect(admin.run(command(add('c')))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/^n3\.c was removed .* --join on an empty one/),
    });
    expect(changes).toHaveLength(1);
    await admin.run(command(add('d')));
    expect(changes.at(-1)).toMatchObject({ learners: ['n3.d'] });
  });

  test('does not add who cannot read what the log has had', async () => {
    const { admin, replica, roster, changes } = leader();
    replica.machine.knownCommandVersion = 8;
    const add = (name: string): string =>
      command({
        add: [{ name, incarnation: 'd', address: 'h:4', promote: true, replaces: null }],
      });
    const heard = (name: string, version: number): void =>
      roster.heard(wholeHello(name, 'd', 'h:4', version));
    heard('n4', 7);
    await expect(admin.run(add('n4'))).rejects.toMatchObject({
      code: 'VERSION_UNSUPPORTED',
      outcome: 'not-applied',
      message: expect.stringMatching(/^n4\.d knows commands up to version 7, .* newer Balsa$/),
    });
    expect(changes).toEqual([]);
    heard('n4', 8);
    await admin.run(add('n4'));
    expect(changes).toMatchObject([{ learners: ['n4.d'] }]);
  });

  test('is refused by who does not lead, who names the leader', async () => {
    const { admin, replica, changes } = leader();
    replica.node.role = 'follower';
    replica.leader = 'n2';
    await expect(admin.run(command({ remove: ['n3'] }))).rejects.toMatchObject({
      code: 'NOT_LEADER',
      outcome: 'not-applied',
      details: { leader: 'n2' },
    });
    expect(changes).toEqual([]);
  });

  test('against other members is refused before the log hears of it', async () => {
    const { admin, changes } = leader();
    const stale = admin.run(command({ expectedIndex: 4, remove: ['n3'] }));
    expect(await codeOf(stale)).toBe('CONFIGURATION_CONFLICT');
    expect(changes).toEqual([]);
  });

  test('what the log says against it is told as it is', async () => {
    const { admin, refusals } = leader();
    refusals.push(new BalsaError('QUORUM_AT_RISK', 'too few'));
    expect(await codeOf(admin.run(command({ remove: ['n3'] })))).toBe('QUORUM_AT_RISK');
  });

  test('that changes nothing needs no entry', async () => {
    const { admin, changes } = leader();
    expect(await codeOf(admin.run(command({ promote: ['n2'] })))).toBe('none');
    expect(changes).toEqual([]);
  });

  test('that asks for what is in effect and not committed is told to wait: it may be taken back', async () => {
    const { admin, roster, changes } = leader();
    const wanted = { name: 'n4', incarnation: 'd', address: 'h:4', promote: false, replaces: null };
    const { configuration: before } = roster;
    const addresses = [{ member: 'n4.d', address: 'h:4' }];
    const next = { ...before, index: 1, learners: ['n4.d'], addresses };
    roster.update(next, null);
    const add = command({ expectedIndex: 1, add: [wanted] });
    await expect(admin.run(add)).rejects.toMatchObject({
      code: 'CHANGE_PENDING',
      outcome: 'not-applied',
    });
    roster.update(next, next);
    expect(await codeOf(admin.run(add))).toBe('none');
    expect(changes).toEqual([]);
  });

  test('a transfer names a member, or nobody', async () => {
    const { admin, transfers, refusals } = leader();
    await admin.run(JSON.stringify({ op: 'transfer', target: 'n2' }));
    await admin.run(JSON.stringify({ op: 'transfer', target: null }));
    expect(transfers).toEqual(['n2.b', null]);
    refusals.push(new BalsaError('TRANSFER_FAILED', 'too slow'));
    expect(await codeOf(admin.run(JSON.stringify({ op: 'transfer', target: null })))).toBe(
      'TRANSFER_FAILED',
    );
    expect(await codeOf(admin.run(JSON.stringify({ op: 'transfer', target: 'n9' })))).toBe(
      'INVALID_ARGUMENT',
    );
  });
});

describe('a member that comes back with a new data folder', () => {
  const anew = { name: 'n3', incarnation: 'x' };
  const at = (replaces: string | null) => ({ address: 'h:9', replaces });

  test('is let in as a learner that takes the place of its former self', async () => {
    const { admin, changes } = leader();
    await admin.letIn(anew, at('c'));
    expect(changes).toMatchObject([
      {
        voters: ['n1.a', 'n2.b', 'n3.c'],
        learners: ['n3.x'],
        promotions: [{ member: 'n3.x', replaces: 'n3.c' }],
      },
    ]);
    expect(changes[0]?.addresses).toContainEqual({ member: 'n3.x', address: 'h:9' });
  });

  test('is not let in twice, however often it asks', async () => {
    const { admin, changes } = leader();
    await Promise.all([admin.letIn(anew, at('c')), admin.letIn(anew, at('c'))]);
    await admin.letIn(anew, at('c'));
    expect(changes).toHaveLength(1);
  });

  test('that does not know who it was takes the place of whoever had its name and is not alive', async () => {
    const { admin, changes, active, warnings } = leader();
    active.add('n3.c');
    await admin.letIn(anew, at(''));
    expect([changes.length, warnings]).toEqual([
      0,
      [expect.stringMatching(/^n3\.c may be alive: /)],
    ]);
    active.clear();
    await admin.letIn(anew, at(''));
    expect(changes[0]?.promotions).toEqual([{ member: 'n3.x', replaces: 'n3.c' }]);
  });

  test.each([
    ['a follower', 'c', 'follower'],
    ['a leader that it asks for nothing', null, 'leader'],
  ] as const)('%s does nothing', async (_what, replaces, role) => {
    const { admin, replica, changes, warnings } = leader();
    replica.node.role = role;
    await admin.letIn(anew, at(replaces));
    expect([changes, warnings]).toEqual([[], []]);
  });

  test('whose former self is no member is not let in; that is said once', async () => {
    const { admin, changes, warnings } = leader(formedWith(['n1.a', 'n2.b']));
    await admin.letIn(anew, at('unknown'));
    await admin.letIn(anew, at('unknown'));
    expect(changes).toEqual([]);
    expect(warnings).toEqual([expect.stringMatching(/no member is n3: use "balsa cluster add"/)]);
  });

  test('and that nobody knows of does not take the place of one that is alive', async () => {
    const { admin, changes, warnings, active } = leader();
    active.add('n3.c');
    await admin.letIn(anew, at('unknown'));
    expect(changes).toEqual([]);
    expect(warnings).toEqual([expect.stringMatching(/n3\.c may be alive/)]);
  });

  test('is tried again when the change was refused', async () => {
    const { admin, changes, refusals } = leader();
    refusals.push(new BalsaError('CHANGE_PENDING', 'not now'));
    await admin.letIn(anew, at('c'));
    await admin.letIn(anew, at('c'));
    expect(changes).toHaveLength(2);
  });
});
