import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import type { Client } from '../../src/client/kv-client.js';
import type { ClientRequest } from '../../src/rpc/protocol.js';
import { type Fate, refusal } from './support/fake-cluster.js';
import { memberOf } from './support/fake-members.js';
import { Harness, watch } from './support/harness.js';

/** The first `count` admin requests meet this fate. */
function firstAdmin(fate: Fate, count = 1): (request: ClientRequest) => Fate {
  let left = count;
  return (request) => {
    if (request.type !== 'admin' || left === 0) return undefined;
    left -= 1;
    return fate;
  };
}

const words = (h: Harness): string =>
  h.cluster.members.status.members.map((m) => `${m.name} ${m.role}`).join(', ');

describe('the members of a cluster, by its client', () => {
  test('are those that the leader knows, whoever is connected to', async () => {
    const h = new Harness();
    const db = await h.connect({ endpoints: ['10.0.0.3:7001'] });
    const { members, leader } = await h.until(db.cluster.members());
    expect(leader).toBe('n1');
    expect(members.members.map((member) => member.name)).toEqual(['n1', 'n2', 'n3']);
    const asked = h.cluster.frames.filter((f) => f.requests.some((r) => r.type === 'status'));
    expect(asked.map((frame) => frame.replica)).toEqual(['n1']);
  });

  test('a replica is added under the incarnation that it names itself', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.addReplica('n4', '10.0.0.4:7001');
    await h.until(db.cluster.add({ name: 'n4', address: '10.0.0.4:7001', promote: false }));
    expect(h.cluster.members.done).toMatchObject([
      { expectedIndex: 0, add: [{ name: 'n4', incarnation: 'n4-disk', promote: false }] },
    ]);
  });

  test('one of another name at the address is not added', async () => {
    const h = new Harness();
    const db = await h.connect();
    const error = await h.failure(db.cluster.add({ name: 'n4', address: '10.0.0.2:7001' }));
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(error.message).toMatch(/is called n2, not n4/);
    expect(h.cluster.members.done).toEqual([]);
  });

  test('one that does not answer is UNREACHABLE, and nothing is changed', async () => {
    const h = new Harness();
    const db = await h.connect();
    const error = await h.failure(db.cluster.add({ name: 'n4', address: '10.0.0.9:7001' }));
    expect(error.code).toBe('UNREACHABLE');
    expect(h.cluster.members.done).toEqual([]);
  });

  test.each([
    [{ clusterId: 'another' }, 'belongs to another cluster'],
    [{ cluster: 'other', clusterId: '' }, 'is for a cluster called "other"'],
  ])(
    'one of another cluster is not added, since it would never come: %j',
    async (status, words) => {
      const h = new Harness();
      const db = await h.connect();
      h.cluster.addReplica('n4', '10.0.0.4:7001').status = status;
      const error = await h.failure(db.cluster.add({ name: 'n4', address: '10.0.0.4:7001' }));
      expect(error).toMatchObject({ code: 'CLUSTER_MISMATCH', outcome: 'not-applied' });
      expect(error.message).toContain(words);
      expect(h.cluster.members.done).toEqual([]);
    },
  );

  test('a member that has moved is added again, at its new address', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.aliases.set('10.0.0.9:7001', '10.0.0.3:7001');
    await h.until(db.cluster.add({ name: 'n3', address: '10.0.0.9:7001' }));
    expect(h.cluster.members.done).toMatchObject([
      { add: [{ name: 'n3', incarnation: 'n3-disk', address: '10.0.0.9:7001' }] },
    ]);
  });

  test('several are replaced in one change', async () => {
    const h = new Harness();
    const db = await h.connect();
    for (const i of [4, 5]) h.cluster.addReplica(`n${i}`, `10.0.0.${i}:7001`);
    const pairs = [
      { old: 'n1', name: 'n4', address: '10.0.0.4:7001' },
      { old: 'n2', name: 'n5', address: '10.0.0.5:7001' },
    ];
    await h.until(db.cluster.replace(pairs));
    expect(h.cluster.members.done).toMatchObject([
      {
        add: [
          { name: 'n4', replaces: 'n1' },
          { name: 'n5', replaces: 'n2' },
        ],
      },
    ]);
  });

  test('what is so already is not asked for', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.cluster.promote('n2'));
    await h.until(db.cluster.remove('n9'));
    expect(h.cluster.members.done).toEqual([]);
    expect((await h.failure(db.cluster.demote('n9'))).code).toBe('INVALID_ARGUMENT');
  });
});

describe('a change of members', () => {
  test('is not made twice when its answer is lost', async () => {
    const h = new Harness();
    const db = await h.connect();
    const fate = firstAdmin('apply-only');
    h.cluster.fate = (request) => {
      const decided = fate(request);
      if (decided !== undefined) h.clock.setTimer(2, () => h.cluster.replica('n1').disconnectAll());
      return decided;
    };
    const { members } = await h.until(db.cluster.remove('n3'));
    expect(members.members.map((member) => member.name)).toEqual(['n1', 'n2']);
    expect(h.cluster.members.done).toHaveLength(1);
    expect(h.cluster.received('admin')).toHaveLength(1);
  });

  test('that was lost on its way is sent again, against the same members', async () => {
    const h = new Harness();
    const db = await h.connect();
    const fate = firstAdmin('ignore');
    h.cluster.fate = (request) => {
      const decided = fate(request);
      if (decided !== undefined) h.clock.setTimer(2, () => h.cluster.replica('n1').disconnectAll());
      return decided;
    };
    await h.until(db.cluster.remove('n3'));
    const sent = h.cluster.received('admin').map(({ command }) => JSON.parse(command));
    expect(sent.map((command) => command.expectedIndex)).toEqual([0, 0]);
    expect(h.cluster.members.done).toHaveLength(1);
  });

  test('waits for the end of one whose answer was lost, also while that is half done', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = firstAdmin(
      refusal('NOT_LEADER', { outcome: 'unknown', details: { leader: 'n1' } }),
    );
    h.cluster.members.set({ index: 5, joint: true });
    const pending = db.cluster.change({
      expectedIndex: 0,
      add: [],
      promote: [],
      demote: [],
      remove: ['n3'],
    });
    pending.catch(() => {});
    await h.clock.advance(500);
    expect(h.cluster.received('admin')).toHaveLength(1);
    const members = h.cluster.members.status.members.slice(0, 2);
    h.cluster.members.set({ index: 6, joint: false, members });
    expect((await h.until(pending)).members.index).toBe(6);
  });

  test('goes to the next leader while leadership is handed over', async () => {
    const h = new Harness();
    const db = await h.connect();
    const fate = firstAdmin(
      refusal('NOT_LEADER', { outcome: 'not-applied', details: { leader: 'n2' } }),
    );
    h.cluster.fate = (request) => {
      const decided = fate(request);
      if (decided !== undefined) h.clock.setTimer(20, () => h.cluster.elect('n2'));
      return decided;
    };
    await h.until(db.cluster.remove('n1'));
    expect(words(h)).toBe('n2 voter, n3 voter');
    const last = h.cluster.frames.findLast((f) => f.requests.some((r) => r.type === 'admin'));
    expect(last?.replica).toBe('n2');
  });

  test('is tried again while another one is not finished', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = firstAdmin(refusal('CHANGE_PENDING', { outcome: 'not-applied' }), 3);
    await h.until(db.cluster.remove('n3'));
    expect(h.cluster.received('admin')).toHaveLength(4);
  });

  test('is not founded on members that are not committed: others may have their index in the end', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.members.set({ index: 7, committed: false });
    const removing = db.cluster.remove('n3');
    await h.clock.advance(1000);
    expect(h.cluster.received('admin')).toEqual([]);
    h.cluster.members.set({ index: 7, committed: true });
    await h.until(removing);
    expect(h.cluster.members.done).toMatchObject([{ expectedIndex: 7, remove: ['n3'] }]);
  });

  test('ends, and was not made, when another one is not finished in time', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.members.set({ index: 7, joint: true });
    expect((await h.failure(db.cluster.remove('n3'))).outcome).toBe('not-applied');
    expect(h.cluster.received('admin')).toEqual([]);
  });

  test('against other members than there are is refused, and not tried again', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.members.set({ index: 7 });
    const none = { add: [], promote: [], demote: [] };
    const error = await h.failure(db.cluster.change({ expectedIndex: 3, ...none, remove: ['n3'] }));
    expect(error).toMatchObject({ code: 'CONFIGURATION_CONFLICT', outcome: 'not-applied' });
    expect(h.cluster.received('admin')).toHaveLength(1);
  });

  test('whose answer was lost, and after which somebody else changed the members, is told as unknown', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = firstAdmin(refusal('SHUTTING_DOWN', { outcome: 'unknown' }));
    const failing = h.failure(db.cluster.remove('n3'));
    h.clock.setTimer(3, () => h.cluster.members.set({ index: 9 }));
    expect(await failing).toMatchObject({ code: 'CONFIGURATION_CONFLICT', outcome: 'unknown' });
  });

  test.each(['QUORUM_AT_RISK', 'NOT_CAUGHT_UP'] as const)('%s is told at once', async (code) => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = firstAdmin(refusal(code, { outcome: 'not-applied' }));
    expect(await h.failure(db.cluster.remove('n3'))).toMatchObject({ code });
    expect(h.cluster.received('admin')).toHaveLength(1);
  });

  test('is unknown when its leader was lost with it, and none comes to tell', async () => {
    const h = new Harness();
    const db = await h.connect();
    const fate = firstAdmin('apply-only');
    h.cluster.fate = (request) => {
      const decided = fate(request);
      if (decided !== undefined) {
        h.clock.setTimer(2, () => {
          h.cluster.elect(null);
          h.cluster.replica('n1').condition = 'refuses';
          h.cluster.replica('n1').disconnectAll();
        });
      }
      return decided;
    };
    const error = await h.failure(db.cluster.remove('n3', { timeoutMs: 2000 }));
    expect(h.cluster.members.done).toHaveLength(1);
    expect(error.outcome).toBe('unknown');
  });

  test('that has no answer in time is unknown', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = (request) => (request.type === 'admin' ? 'ignore' : undefined);
    const error = await h.failure(db.cluster.remove('n3', { timeoutMs: 300 }));
    expect(error).toMatchObject({ code: 'TIMEOUT', outcome: 'unknown' });
  });
});

describe('a command that was sent', () => {
  async function given(): Promise<{ h: Harness; db: Client }> {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = (request) => (request.type === 'admin' ? 'apply-only' : undefined);
    return { h, db };
  }

  async function sent(h: Harness): Promise<void> {
    while (h.cluster.received('admin').length === 0) await h.clock.advance(1);
  }

  test.each(['remove', 'transfer'] as const)(
    '%s, and is aborted, may have been carried out',
    async (name) => {
      const { h, db } = await given();
      const abort = new AbortController();
      const failing = h.failure(db.cluster[name]('n3', { signal: abort.signal }));
      await sent(h);
      abort.abort();
      expect(await failing).toMatchObject({ code: 'CANCELLED', outcome: 'unknown' });
    },
  );

  test('may have been carried out when the client is closed before it is answered', async () => {
    const { h, db } = await given();
    const failing = h.failure(db.cluster.remove('n3'));
    await sent(h);
    await db.close();
    expect(await failing).toMatchObject({ code: 'CLIENT_CLOSED', outcome: 'unknown' });
    expect(h.cluster.members.done).toHaveLength(1);
  });

  test('and one that was not is surely not carried out', async () => {
    const { h, db } = await given();
    h.cluster.fate = (request) => (request.type === 'status' ? 'ignore' : undefined);
    const abort = new AbortController();
    const failing = h.failure(db.cluster.remove('n3', { signal: abort.signal }));
    await h.clock.advance(10);
    abort.abort();
    const error = await failing;
    expect(error.code).toBe('CANCELLED');
    expect(error.outcome).not.toBe('unknown');
  });
});

describe('a transfer of leadership', () => {
  test('to who leads already needs no request', async () => {
    const h = new Harness();
    const db = await h.connect();
    expect((await h.until(db.cluster.transfer('n1'))).leader).toBe('n1');
    expect(h.cluster.received('admin')).toEqual([]);
  });

  test('whose answer was lost is over when the member leads', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = firstAdmin(
      refusal('NOT_LEADER', { outcome: 'unknown', details: { leader: null } }),
    );
    h.clock.setTimer(15, () => h.cluster.elect('n3'));
    expect((await h.until(db.cluster.transfer('n3'))).leader).toBe('n3');
    expect(h.cluster.received('admin')).toHaveLength(1);
  });

  test('that is refused behind an attempt without an answer may have been carried out', async () => {
    const h = new Harness();
    const db = await h.connect();
    const fates: Fate[] = [
      refusal('NOT_LEADER', { outcome: 'unknown', details: { leader: null } }),
      refusal('TRANSFER_FAILED', { outcome: 'not-applied' }),
    ];
    h.cluster.fate = (request) => (request.type === 'admin' ? fates.shift() : undefined);
    const error = await h.failure(db.cluster.transfer('n3'));
    expect(error).toMatchObject({ code: 'TRANSFER_FAILED', outcome: 'unknown' });
    expect(h.cluster.received('admin')).toHaveLength(2);
  });

  test('behind which nobody can be asked who leads may have been carried out', async () => {
    const h = new Harness();
    const db = await h.connect();
    let sent = false;
    h.cluster.fate = (request) => {
      if (request.type === 'status') return sent ? 'ignore' : undefined;
      sent ||= request.type === 'admin';
      return refusal('NOT_LEADER', { outcome: 'unknown', details: { leader: null } });
    };
    const error = await h.failure(db.cluster.transfer('n3', { timeoutMs: 300 }));
    expect(error).toMatchObject({ code: 'TIMEOUT', outcome: 'unknown' });
  });

  test('that the leader gives up is TRANSFER_FAILED', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = firstAdmin(refusal('TRANSFER_FAILED'));
    expect(await h.failure(db.cluster.transfer())).toMatchObject({ code: 'TRANSFER_FAILED' });
  });
});

describe('waiting until the members are settled', () => {
  test('takes as long as a learner is to become a voter', async () => {
    const h = new Harness();
    const db = await h.connect();
    const { members } = h.cluster.members.status;
    const learner = memberOf('n4', '10.0.0.4:7001', 'learner', { promote: true });
    h.cluster.members.set({ members: [...members, learner] });
    let settled = false;
    const waiting = db.cluster.settled().then(() => {
      settled = true;
    });
    await h.clock.advance(1000);
    expect(settled).toBe(false);
    h.cluster.members.set({ members: [...members, { ...learner, role: 'voter', promote: false }] });
    await h.until(waiting);
  });

  test('ends with the time that there is', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.members.set({ joint: true });
    const error = await h.failure(db.cluster.settled({ timeoutMs: 500 }));
    expect(error).toBeInstanceOf(BalsaError);
    expect(error.code).toBe('TIMEOUT');
  });
});

describe('what waits for the members of a cluster', () => {
  const begin = async (options = {}) => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.members.set({ joint: true });
    const abort = new AbortController();
    const calls = { timeoutMs: 0, signal: abort.signal, ...options };
    const settled = watch(db.cluster.settled(calls));
    await h.clock.advance(50);
    expect(settled.count).toBe(0);
    return { h, db, abort, settled };
  };

  test('is told when the client is closed, and leaves no timer behind', async () => {
    const { h, db, settled } = await begin();
    await db.close();
    await h.clock.settle();
    expect(settled.error?.code).toBe('CLIENT_CLOSED');
    expect(h.clock.timers).toBe(0);
  });

  test('ends at once when it is aborted', async () => {
    const { h, abort, settled } = await begin();
    abort.abort();
    await h.clock.settle();
    expect(settled.error).toBeInstanceOf(BalsaError);
    expect(settled.error?.code).toBe('CANCELLED');
  });

  const addHanging = async (options = {}, settings = {}) => {
    const h = new Harness();
    const db = await h.connect(settings);
    h.cluster.addReplica('n4', '10.0.0.4:7001').condition = 'hangs';
    const added = watch(db.cluster.add({ name: 'n4', address: '10.0.0.4:7001' }, options));
    await h.clock.advance(100);
    expect(added.count).toBe(0);
    return { h, db, added };
  };

  test.each([5000, 0])(
    'a newcomer that hangs is waited for no longer than the call may take, with a connectTimeoutMs of %d',
    async (connectTimeoutMs) => {
      const { h, added } = await addHanging({ timeoutMs: 500 }, { connectTimeoutMs });
      await h.clock.advance(410);
      expect(added.error?.code).toBe('UNREACHABLE');
    },
  );

  test('a newcomer that hangs is not waited for when the call is aborted, or the client closed', async () => {
    const abort = new AbortController();
    const first = await addHanging({ signal: abort.signal });
    abort.abort();
    await first.h.clock.settle();
    expect(first.added.error).toMatchObject({ code: 'CANCELLED', outcome: 'not-applied' });
    const second = await addHanging();
    await second.db.close();
    await second.h.clock.settle();
    expect(second.added.error?.code).toBe('CLIENT_CLOSED');
    expect(second.h.clock.timers).toBe(0);
  });
});

describe('a client whose first endpoints are all replaced', () => {
  test('learns the new ones as they come, and finds the leader among them', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.put('k', 'before'));
    const next = [4, 5, 6].map((i) => h.cluster.addReplica(`n${i}`, `10.0.0.${i}:7001`));
    const members = next.map(({ name, address }) => memberOf(name, address, 'voter'));
    h.cluster.members.set({ index: 10, members });
    h.cluster.tellMembers();
    await h.clock.advance(5);
    // The old ones stop, all at once.
    h.cluster.leader = 'n5';
    for (const name of ['n1', 'n2', 'n3']) {
      const replica = h.cluster.replica(name);
      replica.condition = 'refuses';
      replica.disconnectAll();
    }
    await h.until(db.put('k', 'after', { timeoutMs: 3000 }));
    expect(h.cluster.appliedValues).toEqual(['before', 'after']);
  });
});

describe('a replica that waits to be let into a cluster', () => {
  test('is no replica of the cluster, and does not end a connection to it', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.put('k', 'v'));
    const own = h.cluster.replica('n3');
    own.hello = () => ({ ...h.cluster.replica('n2').hello(), replica: 'n3', clusterId: '' });
    h.cluster.elect(null);
    h.cluster.replica('n1').disconnectAll();
    h.cluster.replica('n1').condition = 'refuses';
    h.cluster.leader = 'n2';
    await h.until(db.put('k', 'w'));
    expect(h.cluster.appliedValues).toEqual(['v', 'w']);
  });
});
