import { describe, expect, test } from 'vitest';
import type { BalsaError } from '../../src/base/errors.js';
import { formedWith } from '../../src/raft/configuration.js';
import type { Configuration, ConfigurationChange } from '../../src/raft/types.js';
import { Admin, type AdminReplica } from '../../src/server/admin.js';
import { Roster } from '../../src/server/roster.js';
import { ELECTION_TICKS, elect, heartbeatReply, Member } from '../raft/node-fixture.js';

/** Nobody else is heard from. */
const ALONE: AdminReplica['node'] = { role: 'leader', mayBeAlive: () => false };

function leader(configuration: Configuration, node: AdminReplica['node'] = ALONE) {
  const self = { name: 'n1', incarnation: 'a' };
  const roster = new Roster({ self, address: 'h:1', configured: new Map() }, configuration);
  const changes: ConfigurationChange[] = [];
  const warnings: string[] = [];
  const admin = new Admin({
    replica: {
      leader: 'n1',
      node,
      machine: { knownCommandVersion: 0 },
      changeMembers(change: ConfigurationChange, done: (error: BalsaError | null) => void) {
        changes.push(change);
        const next = { ...roster.configuration, ...change, index: change.expectedIndex + 1 };
        roster.update(next, next);
        done(null);
      },
      transfer: () => {},
    },
    roster,
    log: (level, fields) => void (level === 'warn' && warnings.push(String(fields.reason))),
  });
  return { admin, changes, warnings };
}

const VOTERS = ['n1.a', 'n2.b', 'n3.c'];
const at = (replaces: string) => ({ address: 'h:9', replaces });

describe('a member whose new disk is lost, too, before it had its vote', () => {
  test.each([
    ['empty folder', ''],
    ['damaged folder, set aside', 'x'],
  ])('is let in under its third incarnation (%s)', async (_what, replaces) => {
    const { admin, changes, warnings } = leader(formedWith(VOTERS));
    await admin.letIn({ name: 'n3', incarnation: 'x' }, at('c'));
    await admin.letIn({ name: 'n3', incarnation: 'y' }, at(replaces));
    expect(warnings).toEqual([]);
    expect(changes[1]?.learners).toEqual(['n3.y']);
    expect(changes[1]?.promotions).toEqual([{ member: 'n3.y', replaces: 'n3.c' }]);
  });

  test('is let in when the second was never let in', async () => {
    const { admin, changes, warnings } = leader(formedWith(VOTERS));
    await admin.letIn({ name: 'n3', incarnation: 'y' }, at('x'));
    expect(warnings).toEqual([]);
    expect(changes[0]?.promotions).toEqual([{ member: 'n3.y', replaces: 'n3.c' }]);
  });
});

test('a learner that begins anew is a learner again, and gets no vote', async () => {
  const { admin, changes } = leader(formedWith(VOTERS, { learners: ['n4.d'] }));
  await admin.letIn({ name: 'n4', incarnation: 'z' }, at('d'));
  expect(changes[0]).toMatchObject({ voters: VOTERS, learners: ['n4.z'], promotions: [] });
});

test('a joiner that comes again from another address is reached there', async () => {
  const { admin, changes } = leader(formedWith(VOTERS));
  await admin.letIn({ name: 'n3', incarnation: 'x' }, { address: 'wrong:1', replaces: 'c' });
  await admin.letIn({ name: 'n3', incarnation: 'x' }, { address: 'right:1', replaces: 'c' });
  expect(changes.at(-1)?.addresses).toContainEqual({ member: 'n3.x', address: 'right:1' });
});

test('who takes the place of a learner takes that which it was to take', async () => {
  const { admin, changes } = leader(
    formedWith(VOTERS, { learners: ['n5.e'], promotions: [{ member: 'n5.e', replaces: 'n3.c' }] }),
  );
  await admin.letIn({ name: 'n5', incarnation: 'f' }, at('e'));
  expect(changes[0]?.promotions).toEqual([{ member: 'n5.f', replaces: 'n3.c' }]);
});

test('who has the name of a voter and an empty folder is not let in before a new leader can know that the voter is gone', async () => {
  const member = new Member({ id: 'n1.a', voters: VOTERS });
  elect(member, ['n2.b']);
  const { admin, changes, warnings } = leader(formedWith(VOTERS), member.node);
  const ask = () => admin.letIn({ name: 'n3', incarnation: 'x' }, at(''));
  await ask();
  expect([changes, warnings]).toEqual([[], [expect.stringMatching(/^n3\.c may be alive: /)]]);
  const term = member.node.term;
  const answer = (from: string) => heartbeatReply({ from, to: 'n1.a', term });
  const timeout = (): void => {
    for (let tick = 0; tick < ELECTION_TICKS; tick += 1) {
      member.tick();
      member.receive(answer('n2.b'));
    }
  };
  timeout();
  member.receive(answer('n3.c'));
  await ask();
  expect(changes).toEqual([]);
  timeout();
  await ask();
  expect(changes[0]?.promotions).toEqual([{ member: 'n3.x', replaces: 'n3.c' }]);
});
