import type { HeapProfiler, Profiler } from 'node:inspector';

/** A function, as it was called from its parent. */
export interface Call {
  readonly name: string;
  /** Of its file; empty for what is none of JavaScript. */
  readonly url: string;
  /** Samples, or bytes, of itself alone. */
  readonly self: number;
  readonly children: readonly Call[];
}

/** Where the work of a call is done. What belongs to none of our files counts where it was called from. */
export const STAGES = [
  'network: gRPC, HTTP/2, sockets',
  'frames: pack and unpack',
  'client library',
  'replica: requests, batches, answers',
  'consensus',
  'log',
  'state machine',
  'store: hand over, look up',
  'procedures',
  'checksums',
  'garbage collector',
  'around it: benchmark, event loop, system',
] as const;
export type Stage = (typeof STAGES)[number];

const AROUND: Stage = 'around it: benchmark, event loop, system';

/** The first that fits. */
const PLACES: readonly (readonly [RegExp, Stage])[] = [
  [/\/base\/checksum|\/storage\/(crc32c|value-checksum)/, 'checksums'],
  [/\/@grpc\/|^node:(net|http2|internal\/(http2|js_stream|stream_base|streams))/, STAGES[0]],
  [/\/storage\/(wal\/|log-store|unsynced-file)|\/server\/disk-order/, 'log'],
  [/\/(src|dist)\/storage\/|\/(classic|abstract)-level\//, 'store: hand over, look up'],
  [/\/(src|dist)\/rpc\//, 'frames: pack and unpack'],
  [/\/(src|dist)\/client\//, 'client library'],
  [/\/(src|dist)\/raft\//, 'consensus'],
  [/\/(src|dist)\/statemachine\//, 'state machine'],
  [/\/(src|dist)\/(compute|server\/calls)\//, 'procedures'],
  [/\/(src|dist)\/server\//, 'replica: requests, batches, answers'],
  [/\/bench\//, AROUND],
];

/** `self` of all calls by stage. Idle time is no stage. */
export function byStage(root: Call): ReadonlyMap<Stage, number> {
  const found = new Map<Stage, number>();
  const open: [Call, Stage][] = [[root, AROUND]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [call, from] = next;
    if (call.name === '(idle)') continue;
    const stage = stageOf(call, from);
    found.set(stage, (found.get(stage) ?? 0) + call.self);
    for (const child of call.children) open.push([child, stage]);
  }
  return found;
}

function stageOf({ name, url }: Call, from: Stage): Stage {
  if (name === '(garbage collector)') return 'garbage collector';
  return PLACES.find(([place]) => place.test(url))?.[1] ?? from;
}

/** Samples by who was called from where. */
export function callsOfProcessor({ nodes, samples = [] }: Profiler.Profile): Call {
  const counts = new Map<number, number>();
  for (const id of samples) counts.set(id, (counts.get(id) ?? 0) + 1);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const made = (id: number): Call => {
    const node = byId.get(id);
    if (node === undefined) throw new Error(`the profile has no node ${id}`);
    const { functionName: name, url } = node.callFrame;
    return { name, url, self: counts.get(id) ?? 0, children: (node.children ?? []).map(made) };
  };
  const [root] = nodes;
  if (root === undefined) throw new Error('the profile is empty');
  return made(root.id);
}

/** Bytes by who was called from where. */
export function callsOfAllocated({ head }: HeapProfiler.SamplingHeapProfile): Call {
  const made = ({ callFrame, selfSize, children }: HeapProfiler.SamplingHeapProfileNode): Call => ({
    ...{ name: callFrame.functionName, url: callFrame.url, self: selfSize },
    children: children.map(made),
  });
  return made(head);
}
