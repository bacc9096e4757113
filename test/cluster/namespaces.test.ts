import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { lookAtMachine } from '../../jepsen-like/cluster/machine.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';

/** What needs root, `ip` and `iptables`; elsewhere only proxies stand between replicas. */

const { isRoot, ip, iptables } = lookAtMachine();
const isAble = isRoot && ip && iptables && canMakeOne();

function canMakeOne(): boolean {
  try {
    execFileSync('ip', ['netns', 'add', 'balsa-probe'], { stdio: 'ignore' });
    execFileSync('ip', ['netns', 'del', 'balsa-probe'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function traces(): string[] {
  const spaces = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' });
  const links = execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' });
  return `${spaces}\n${links}`.split('\n').filter((line) => /balsa\d/.test(line));
}

describe.runIf(isAble)('replicas in namespaces of the kernel', () => {
  test('go on without a leader that packet filters cut off, and leave nothing behind', async () => {
    {
      await using cluster = await LocalCluster.start({ network: 'namespaces' });
      await using db = await cluster.connect({ timeoutMs: 20_000 });
      await db.put('a', '1');
      const leader = await cluster.leader();
      cluster.isolate(leader);
      await cluster.waitFor('another leader', async () => {
        const others = await Promise.all(
          cluster.replicas
            .filter(({ name }) => name !== leader)
            .map(({ name }) => cluster.status(name)),
        );
        return others.some(({ role }) => role === 'leader');
      });
      await db.put('a', '2');
      cluster.heal();
      await cluster.waitForEqual();
      await using old = await cluster.connectTo(leader);
      expect((await old.get('a')).value?.toString()).toBe('2');
      expect(traces().length).toBeGreaterThan(3);
    }
    expect(traces()).toEqual([]);
  });
});
