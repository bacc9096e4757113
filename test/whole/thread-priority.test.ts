import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { COMPACTION_NICE, hasThreadPriorities } from '../../src/storage/compaction-thread.js';

/** Of all threads of a process: what they give way by (`nice`). */
function nicesOf(pid: number): number[] {
  const folder = `/proc/${pid}/task`;
  return readdirSync(folder).map((thread) => {
    const stat = readFileSync(`${folder}/${thread}/stat`, 'utf8');
    // The name before may hold anything; `nice` is the 19th field (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[16]);
  });
}

test.runIf(hasThreadPriorities)(
  'of the threads of a replica only that in which LevelDB compacts gives way to the others',
  async () => {
    await using cluster = await LocalCluster.start({ replicas: 1 });
    const own = nicesOf(process.pid)[0] ?? 0;
    const [replica] = cluster.replicas;
    const nices = nicesOf(replica?.pid ?? 0);
    expect(nices.length).toBeGreaterThan(5);
    expect(nices.filter((nice) => nice !== own)).toEqual([own + COMPACTION_NICE]);
  },
);
