import type { Profiler } from 'node:inspector';
import { expect, test } from 'vitest';
import { flameGraph } from '../../bench/harness/flame.js';
import {
  byStage,
  type Call,
  callsOfAllocated,
  callsOfProcessor,
} from '../../bench/harness/stages.js';
import { threadUse } from '../../bench/harness/thread-use.js';
import { cpuSeconds } from '../../bench/machine.js';

const ROOT = 'file:///anywhere/.tools/src';

function call(name: string, url: string, self: number, ...children: Call[]): Call {
  return { name, url, self, children };
}

test('time is of the stage that the file belongs to, and what belongs to none of the stage that called it', () => {
  const shared = call('compare', `${ROOT}/base/bytes.js`, 4);
  const root = call(
    ...(['(root)', '', 0] as const),
    call('(idle)', '', 1000),
    call('(garbage collector)', '', 3),
    call('(program)', '', 5),
    call(
      ...(['processTimers', 'node:internal/timers', 1] as const),
      call(
        'step',
        `${ROOT}/raft/raft-node.js`,
        10,
        shared,
        call('crc', `${ROOT}/base/checksum.js`, 7),
      ),
      call('apply', `${ROOT}/statemachine/executor.js`, 20, shared, shared),
      call('append', `${ROOT}/storage/wal/wal-writer.js`, 30),
      call('batch', '/x/node_modules/classic-level/index.js', 40),
      call('write', 'node:internal/http2/core', 50, call('pack', `${ROOT}/rpc/peer-frames.js`, 60)),
    ),
  );
  expect(Object.fromEntries(byStage(root))).toEqual({
    'garbage collector': 3,
    'around it: benchmark, event loop, system': 6,
    consensus: 14,
    checksums: 7,
    'state machine': 28,
    log: 30,
    'store: hand over, look up': 40,
    'network: gRPC, HTTP/2, sockets': 50,
    'frames: pack and unpack': 60,
  });
});

test('a profile of the processor is counted sample by sample', () => {
  const frame = (functionName: string, url = ''): Profiler.ProfileNode['callFrame'] => ({
    ...{ functionName, url, scriptId: '1', lineNumber: 1, columnNumber: 1 },
  });
  const profile: Profiler.Profile = {
    nodes: [
      { id: 1, callFrame: frame('(root)'), children: [2, 3] },
      { id: 2, callFrame: frame('(idle)') },
      { id: 3, callFrame: frame('step', `${ROOT}/raft/raft-node.js`), children: [4] },
      { id: 4, callFrame: frame('sort') },
    ],
    ...{ startTime: 0, endTime: 6, samples: [2, 3, 4, 4, 2, 3], timeDeltas: [1, 1, 1, 1, 1, 1] },
  };
  expect(Object.fromEntries(byStage(callsOfProcessor(profile)))).toEqual({
    'around it: benchmark, event loop, system': 0,
    consensus: 4,
  });
  const wrong = { ...profile, nodes: profile.nodes.slice(0, 3) };
  expect(() => callsOfProcessor(wrong)).toThrow('no node 4');
});

test('what is allocated is counted in bytes', () => {
  const callFrame = { functionName: 'take', url: `${ROOT}/raft/outbox.js`, scriptId: '1' };
  const node = { id: 1, callFrame: { ...callFrame, lineNumber: 1, columnNumber: 1 } };
  const head = { ...node, selfSize: 100, children: [{ ...node, selfSize: 50, children: [] }] };
  expect(byStage(callsOfAllocated({ head })).get('consensus')).toBe(150);
});

test('a flame graph is as wide as all that is not idle, joins what has one name, and leaves out what is too narrow to see', () => {
  const hot = (self: number): Call => call('hot<1>', `${ROOT}/raft/log.js`, self);
  const root = call(
    '(root)',
    '',
    0,
    call('(idle)', '', 9000),
    hot(400),
    hot(599),
    call('rare', '', 1),
  );
  const drawn = flameGraph('a "leader"', root);
  expect(drawn).toContain('aria-label="a &quot;leader&quot;"');
  expect(drawn).toContain('<title>hot&lt;1> raft/log.js: 99.9 %</title>');
  expect(drawn.match(/<rect/g)).toHaveLength(2);
  expect(drawn).not.toContain('idle');
  expect(drawn).not.toContain('rare');
});

test.runIf(process.platform === 'linux')('the threads of a process take what it takes', () => {
  const least = cpuSeconds(process.pid);
  const use = threadUse(process.pid, null);
  const most = cpuSeconds(process.pid);
  const all = use.main + use['engine: garbage, compiler'];
  expect(use.main).toBeGreaterThan(0);
  // Each thread is rounded down; threads that have ended count in the process alone.
  expect(all).toBeLessThanOrEqual(most);
  expect(all).toBeGreaterThan(least / 4);
  expect(use.procedures + use['LevelDB: compaction'] + use['pool: log, store, sync']).toBe(0);
});
