/**
 * Is what the clients of one register (a key) were told possible for a register that takes each call at
 * one moment between its begin and its end? Wing and Gong's search with Lowe's memory of states, as
 * in "Testing for linearizability" (2017).
 */

/** What a call did to one key, and what its caller was told. */
export type Call =
  | { readonly type: 'put'; readonly value: string }
  /** `found`: was there something to delete? `null`: the caller was not told. */
  | { readonly type: 'delete'; readonly found: boolean | null }
  /** What was read; `null`: nothing is there. */
  | { readonly type: 'get'; readonly value: string | null };

export interface Operation {
  readonly client: string;
  readonly call: Call;
  readonly beginMs: number;
  /** Infinity: the outcome is not known. It may take effect at any time after its begin, or never. */
  readonly endMs: number;
}

export type Verdict =
  | { readonly type: 'linearizable' }
  /** The search was given up: the history has too much at once. */
  | { readonly type: 'undecided' }
  /** The smallest part found that is impossible by itself. */
  | { readonly type: 'impossible'; readonly core: readonly Operation[] };

/** Steps of one search. */
const STEPS_MAX = 2_000_000;

/** @param operations all those on one key; the key holds nothing at first */
export function checkRegister(operations: readonly Operation[]): Verdict {
  const history = relevant(operations);
  const isPossible = search(history);
  if (isPossible === null) return { type: 'undecided' };
  return isPossible ? { type: 'linearizable' } : { type: 'impossible', core: smallest(history) };
}

/**
 * Without puts of unknown outcome that nobody saw: if the history is possible with one of them, it is
 * so without it, unless a delete says that it found something.
 */
function relevant(operations: readonly Operation[]): Operation[] {
  const seen = new Set<string>();
  let lastFoundMs = Number.NEGATIVE_INFINITY;
  for (const { call, endMs } of operations) {
    if (call.type === 'get' && call.value !== null) seen.add(call.value);
    if (call.type === 'delete' && call.found === true) lastFoundMs = Math.max(lastFoundMs, endMs);
  }
  return operations.filter(
    ({ call, beginMs, endMs }) =>
      call.type !== 'put' ||
      endMs !== Number.POSITIVE_INFINITY ||
      seen.has(call.value) ||
      beginMs <= lastFoundMs,
  );
}

/** A begin or an end of an operation, in a list in the order of time. */
interface Node {
  /** Number of the operation. */
  readonly id: number;
  readonly operation: Operation;
  /** Of a begin: the node of its end. */
  end: Node | null;
  previous: Node | null;
  next: Node | null;
}

/** Is there an order? `null`: not found out. */
function search(operations: readonly Operation[]): boolean | null {
  const head = toList(operations);
  const done = new Uint32Array((operations.length + 31) >> 5);
  const known = new Set<string>();
  const path: { readonly node: Node; readonly before: string | null }[] = [];
  let value: string | null = null;
  let node = head.next;
  for (let steps = 0; head.next !== null; steps += 1) {
    if (steps > STEPS_MAX) return null;
    if (node?.end != null) {
      const outcome = step(node.operation.call, value);
      if (outcome.possible && isNew(known, done, node.id, outcome.value)) {
        path.push({ node, before: value });
        flip(done, node.id);
        value = outcome.value;
        lift(node);
        node = head.next;
      } else {
        node = node.next;
      }
      continue;
    }
    // An operation has ended, or all have: one taken before must come later.
    if (allUnknown(head)) return true;
    const last = path.pop();
    if (last === undefined) return false;
    value = last.before;
    flip(done, last.node.id);
    unlift(last.node);
    node = last.node.next;
  }
  return true;
}

/** What is left need not have happened at all. */
function allUnknown(head: Node): boolean {
  for (let node = head.next; node !== null; node = node.next) {
    if (node.operation.endMs !== Number.POSITIVE_INFINITY) return false;
  }
  return true;
}

function step(call: Call, value: string | null): { possible: boolean; value: string | null } {
  switch (call.type) {
    case 'put':
      return { possible: true, value: call.value };
    case 'delete':
      return { possible: call.found === null || call.found === (value !== null), value: null };
    case 'get':
      return { possible: call.value === value, value };
    default:
      throw new Error(`unknown call ${JSON.stringify(call satisfies never)}`);
  }
}

function isNew(known: Set<string>, done: Uint32Array, id: number, value: string | null): boolean {
  flip(done, id);
  const key = `${done.join()}|${value ?? ''}|${value === null}`;
  flip(done, id);
  const size = known.size;
  known.add(key);
  return known.size > size;
}

function flip(done: Uint32Array, id: number): void {
  done[id >> 5] = (done[id >> 5] ?? 0) ^ (1 << (id & 31));
}

function toList(operations: readonly Operation[]): Node {
  const nodes: { readonly atMs: number; readonly isBegin: boolean; readonly node: Node }[] = [];
  operations.forEach((operation, id) => {
    const end: Node = { id, operation, end: null, previous: null, next: null };
    const begin: Node = { id, operation, end, previous: null, next: null };
    nodes.push({ atMs: operation.beginMs, isBegin: true, node: begin });
    nodes.push({ atMs: operation.endMs, isBegin: false, node: end });
  });
  // At equal times the begin counts as earlier: the two were at once.
  nodes.sort((a, b) => a.atMs - b.atMs || Number(b.isBegin) - Number(a.isBegin));
  const head: Node = {
    id: -1,
    operation: { client: '', call: { type: 'get', value: null }, beginMs: 0, endMs: 0 },
    end: null,
    previous: null,
    next: null,
  };
  let last = head;
  for (const { node } of nodes) {
    last.next = node;
    node.previous = last;
    last = node;
  }
  return head;
}

/** Takes begin and end out of the list. */
function lift(begin: Node): void {
  unlink(begin);
  if (begin.end !== null) unlink(begin.end);
}

/** Undoes {@link lift}; the last one first. */
function unlift(begin: Node): void {
  if (begin.end !== null) relink(begin.end);
  relink(begin);
}

function unlink(node: Node): void {
  if (node.previous !== null) node.previous.next = node.next;
  if (node.next !== null) node.next.previous = node.previous;
}

function relink(node: Node): void {
  if (node.previous !== null) node.previous.next = node;
  if (node.next !== null) node.next.previous = node;
}

/**
 * Leaves out what is not needed for the contradiction. What may be left out without making one: reads,
 * deletes, and puts together with all that read them.
 */
function smallest(operations: readonly Operation[]): readonly Operation[] {
  let core = [...operations];
  for (let size = Math.ceil(core.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let from = 0; from < core.length; ) {
      const smaller = without(core, new Set(core.slice(from, from + size)));
      if (smaller.length < core.length && search(smaller) === false) core = smaller;
      else from += size;
    }
  }
  return core;
}

function without(operations: readonly Operation[], dropped: ReadonlySet<Operation>): Operation[] {
  const puts = new Set<string>();
  let dropsPut = false;
  for (const { call } of dropped) {
    if (call.type !== 'put') continue;
    puts.add(call.value);
    dropsPut = true;
  }
  return operations.filter((operation) => {
    if (dropped.has(operation)) return false;
    const { call } = operation;
    if (call.type === 'get' && call.value !== null) return !puts.has(call.value);
    // Whether it found something may have been due to what is left out.
    return !(dropsPut && call.type === 'delete' && call.found === true);
  });
}

/** The history as lines, for messages. */
export function describeOperations(operations: readonly Operation[]): string {
  return [...operations]
    .sort((a, b) => a.beginMs - b.beginMs)
    .map(({ client, call, beginMs, endMs }) => {
      const end = endMs === Number.POSITIVE_INFINITY ? '?' : endMs.toFixed(1);
      return `  ${beginMs.toFixed(1).padStart(9)} .. ${end.padEnd(9)} ${client}: ${describe(call)}`;
    })
    .join('\n');
}

function describe(call: Call): string {
  if (call.type === 'put') return `put ${call.value}`;
  if (call.type === 'get') return `get -> ${call.value ?? 'nothing'}`;
  const found = call.found === null ? 'unknown' : call.found ? 'deleted' : 'nothing there';
  return `delete -> ${found}`;
}
