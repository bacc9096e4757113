import { DependencyGraph, type Edge, type Why } from './dependency-graph.js';

/**
 * Were the transactions on some lists strictly serializable? Each appends values that nobody else appends, and reads whole
 * lists: so a list tells in which order its values came, and who had seen which of them. Kingsbury and Alvaro, "Elle:
 * Inferring Isolation Anomalies from Experimental Observations" (2020).
 */

export type ListOperation =
  | { readonly type: 'append'; readonly key: string; readonly value: string }
  /** Only of a transaction whose answer is known. */
  | { readonly type: 'read'; readonly key: string; readonly values: readonly string[] };

export interface ListTransaction {
  readonly name: string;
  /** `unknown`: it may have been applied, or not. `failed`: its caller was told that it was not. */
  readonly status: 'applied' | 'failed' | 'unknown';
  /** In the order in which it did them. */
  readonly operations: readonly ListOperation[];
  readonly beginMs: number;
  /** Infinity: its caller was not told. */
  readonly endMs: number;
  /** It is promised to have happened between its begin and its end. */
  readonly isStrict: boolean;
}

/** As Adya calls them, and three that can be seen of lists alone. */
export type AnomalyName =
  | 'duplicate value'
  | 'value of nobody'
  | 'incompatible order'
  | 'internal'
  | 'G1a'
  | 'G1b'
  | 'G0'
  | 'G1c'
  | 'G-single'
  | 'G2'
  | 'G0 in real time'
  | 'G1c in real time'
  | 'G-single in real time'
  | 'G2 in real time';

/** Why one transaction comes before another. */
export interface Step {
  readonly from: string;
  readonly to: string;
  readonly why: Why;
  /** The list, and the place in it. */
  readonly what: string;
}

export interface Anomaly {
  readonly name: AnomalyName;
  readonly description: string;
  /** Names of those that show it. */
  readonly transactions: readonly string[];
  /** Of a cycle. */
  readonly steps: readonly Step[];
}

/** What is wrong with them; the first one is the plainest. Empty: nothing that can be seen. */
export function findAnomalies(transactions: readonly ListTransaction[]): readonly Anomaly[] {
  const observed = new Observed(transactions);
  if (observed.anomalies.length > 0) return observed.anomalies;
  const cycle = findCycle(observed);
  return cycle === null ? [] : [cycle];
}

interface Writer {
  readonly transaction: ListTransaction;
  readonly key: string;
  /** The last value that it appended to this key. */
  readonly isLast: boolean;
}

interface Read {
  readonly transaction: ListTransaction;
  readonly key: string;
  /** Without what it had appended itself. */
  readonly values: readonly string[];
}

/** The lists as all reads together tell of them. */
class Observed {
  readonly anomalies: Anomaly[] = [];
  readonly transactions: readonly ListTransaction[];
  readonly reads: readonly Read[];
  /** By {@link placeOf}. */
  readonly writers: ReadonlyMap<string, Writer>;
  /** By key: the values in their order, as far as they were read. */
  readonly orders: ReadonlyMap<string, readonly string[]>;
  /** Some read has what they appended: they were applied, whatever their callers were told. */
  readonly seen: ReadonlySet<ListTransaction>;

  constructor(transactions: readonly ListTransaction[]) {
    this.transactions = transactions;
    this.writers = writersOf(transactions);
    this.reads = transactions
      .filter(({ status }) => status === 'applied')
      .flatMap((transaction) => this.#readsOf(transaction));
    for (const read of this.reads) this.#checkValues(read);
    this.orders = this.#order();
    this.seen = this.#seen();
  }

  #seen(): Set<ListTransaction> {
    const seen = new Set<ListTransaction>();
    for (const [key, values] of this.orders) {
      for (const value of values) {
        const writer = this.writers.get(placeOf(key, value));
        if (writer !== undefined) seen.add(writer.transaction);
      }
    }
    return seen;
  }

  isApplied(transaction: ListTransaction): boolean {
    const { status } = transaction;
    return status === 'applied' || (status === 'unknown' && this.seen.has(transaction));
  }

  #note(name: AnomalyName, description: string, transactions: readonly string[]): void {
    this.anomalies.push({ name, description, transactions, steps: [] });
  }

  #readsOf(transaction: ListTransaction): Read[] {
    const own = new Map<string, string[]>();
    const reads: Read[] = [];
    for (const operation of transaction.operations) {
      const { key } = operation;
      const appended = own.get(key) ?? [];
      if (operation.type === 'append') {
        own.set(key, [...appended, operation.value]);
        continue;
      }
      const { values } = operation;
      const length = values.length - appended.length;
      if (values.slice(Math.max(0, length)).join() !== appended.join()) {
        const told = `${transaction.name} read ${key} as ${show(values)}`;
        this.#note('internal', `${told} when it had itself appended ${show(appended)}`, [
          transaction.name,
        ]);
      } else {
        reads.push({ transaction, key, values: values.slice(0, length) });
      }
    }
    return reads;
  }

  #checkValues({ transaction: { name }, key, values }: Read): void {
    if (new Set(values).size < values.length) {
      this.#note('duplicate value', `${name} read ${key} as ${show(values)}`, [name]);
    }
    for (const [at, value] of values.entries()) {
      const writer = this.writers.get(placeOf(key, value));
      if (writer === undefined) {
        const text = `${name} read ${value} in ${key}, where nobody appended it`;
        this.#note('value of nobody', text, [name]);
      } else if (writer.transaction.status === 'failed') {
        const who = writer.transaction.name;
        const text = `${name} read ${value} in ${key}, of ${who}, which was not applied`;
        this.#note('G1a', text, [who, name]);
      } else if (at === values.length - 1 && !writer.isLast && writer.transaction.name !== name) {
        const who = writer.transaction.name;
        const text = `${name} read ${key} through ${value}, in the middle of ${who}`;
        this.#note('G1b', text, [who, name]);
      }
    }
  }

  #order(): Map<string, readonly string[]> {
    const longest = new Map<string, Read>();
    for (const read of this.reads) {
      const known = longest.get(read.key);
      if (known === undefined || known.values.length < read.values.length) {
        longest.set(read.key, read);
      }
    }
    for (const { transaction, key, values } of this.reads) {
      const whole = longest.get(key)?.values ?? [];
      const wrong = values.findIndex((value, at) => value !== whole[at]);
      if (wrong < 0) continue;
      const other = longest.get(key)?.transaction.name;
      this.#note(
        'incompatible order',
        `${transaction.name} read ${values[wrong]} at place ${wrong} of ${key}, and ${other} read ${whole[wrong]}`,
        [transaction.name, other ?? ''],
      );
    }
    return new Map([...longest].map(([key, { values }]) => [key, values]));
  }
}

/** Values differ within a list. */
function placeOf(key: string, value: string): string {
  return `${key}\n${value}`;
}

function writersOf(transactions: readonly ListTransaction[]): Map<string, Writer> {
  const writers = new Map<string, Writer>();
  for (const transaction of transactions) {
    const last = new Map<string, string>();
    for (const operation of transaction.operations) {
      if (operation.type === 'append') last.set(operation.key, operation.value);
    }
    for (const operation of transaction.operations) {
      if (operation.type !== 'append') continue;
      const { key, value } = operation;
      writers.set(placeOf(key, value), { transaction, key, isLast: last.get(key) === value });
    }
  }
  return writers;
}

// -------------------------------------------------------------------------------------------

/** From the worst to the least. */
const CYCLES: readonly { readonly name: AnomalyName; readonly kinds: readonly Why[] }[] = [
  { name: 'G0', kinds: ['ww'] },
  { name: 'G1c', kinds: ['ww', 'wr'] },
  { name: 'G-single', kinds: ['ww', 'wr', 'rw'] },
  { name: 'G2', kinds: ['ww', 'wr', 'rw'] },
  { name: 'G0 in real time', kinds: ['ww', 'rt'] },
  { name: 'G1c in real time', kinds: ['ww', 'wr', 'rt'] },
  { name: 'G-single in real time', kinds: ['ww', 'wr', 'rw', 'rt'] },
  { name: 'G2 in real time', kinds: ['ww', 'wr', 'rw', 'rt'] },
];

const ALL: ReadonlySet<Why> = new Set(['ww', 'wr', 'rw', 'rt']);

function findCycle(observed: Observed): Anomaly | null {
  const graph = new DependencyGraph();
  const names: string[] = [];
  const nodes = new Map<ListTransaction, number>();
  for (const transaction of observed.transactions) {
    // One that nobody was told of, and of which nothing was seen, has no place in the order.
    if (!observed.isApplied(transaction)) continue;
    nodes.set(transaction, graph.addNode());
    names.push(transaction.name);
  }
  addDependencies(graph, observed, (transaction) => nodes.get(transaction) as number);
  addUnread(graph, observed, (transaction) => nodes.get(transaction) as number);
  addRealTime(graph, [...nodes]);
  if (graph.cycle(ALL) === null) return null;
  for (const { name, kinds } of CYCLES) {
    const others = new Set(kinds.filter((kind) => kind !== 'rw'));
    const cycle = name.startsWith('G-single')
      ? graph.cycleWithOneRw(others)
      : graph.cycle(new Set(kinds));
    if (cycle === null) continue;
    return { name, ...describeCycle(cycle, names) };
  }
  throw new Error('a cycle is one of these');
}

/** Moments of real time have no name. */
function describeCycle(
  cycle: readonly Edge[],
  names: readonly string[],
): Pick<Anomaly, 'description' | 'transactions' | 'steps'> {
  const arrows = cycle.map(({ to, why, what }) =>
    names[to] === undefined ? '' : ` -${why}${what}-> ${names[to]}`,
  );
  const named = cycle.flatMap(({ from }) => names[from] ?? []);
  const steps: Step[] = [];
  for (const [at, { from, why, what }] of cycle.entries()) {
    const name = names[from];
    if (name === undefined) continue;
    // The way may lead over moments of real time to the next transaction.
    const rest = [...cycle.slice(at), ...cycle.slice(0, at)];
    const next = rest.find(({ to }) => names[to] !== undefined);
    steps.push({ from: name, to: names[next?.to ?? from] ?? name, why, what: what.trim() });
  }
  const first = names[cycle[0]?.from ?? 0] ?? 'some time';
  return { description: `${first}${arrows.join('')}`, transactions: named, steps };
}

function addDependencies(
  graph: DependencyGraph,
  { orders, writers, reads }: Observed,
  nodeOf: (transaction: ListTransaction) => number,
): void {
  const writerAt = (key: string, at: number): ListTransaction | undefined => {
    const value = orders.get(key)?.[at];
    return value === undefined ? undefined : writers.get(placeOf(key, value))?.transaction;
  };
  for (const [key, values] of orders) {
    for (let at = 1; at < values.length; at += 1) {
      const before = writerAt(key, at - 1);
      const after = writerAt(key, at);
      if (before === undefined || after === undefined) continue;
      graph.addEdge(nodeOf(before), nodeOf(after), 'ww', ` ${key}[${at}]`);
    }
  }
  for (const { transaction, key, values } of reads) {
    const reader = nodeOf(transaction);
    const seen = writerAt(key, values.length - 1);
    const next = writerAt(key, values.length);
    const what = ` ${key}[${values.length}]`;
    if (seen !== undefined) graph.addEdge(nodeOf(seen), reader, 'wr', what);
    if (next !== undefined) graph.addEdge(reader, nodeOf(next), 'rw', what);
  }
}

/** Of a transaction that has read a list to its end and appended to it, unread: as many others are compared with it. */
const UNREAD_COMPARED_MAX = 50;

/**
 * What was appended for certain and never read comes behind all that was read: so one that was lost is behind whatever was read later. One
 * node for the end of each list stands between the two.
 */
function addUnread(
  graph: DependencyGraph,
  observed: Observed,
  nodeOf: (transaction: ListTransaction) => number,
): void {
  const { orders, writers, reads } = observed;
  const unread = new Map<string, Set<ListTransaction>>();
  const read = new Set([...orders].flatMap(([key, values]) => values.map((v) => placeOf(key, v))));
  for (const [place, { transaction, key, isLast }] of writers) {
    if (!observed.isApplied(transaction)) continue;
    if (!isLast || !orders.has(key) || read.has(place)) continue;
    unread.set(key, (unread.get(key) ?? new Set()).add(transaction));
  }
  const ends = new Map<string, number>();
  for (const [key, transactions] of unread) {
    const end = graph.addNode();
    ends.set(key, end);
    for (const transaction of transactions) graph.addEdge(end, nodeOf(transaction), 'ww', '');
    const last = writers.get(placeOf(key, orders.get(key)?.at(-1) ?? ''))?.transaction;
    if (last === undefined || transactions.has(last)) continue;
    graph.addEdge(nodeOf(last), end, 'ww', ` ${key}[${orders.get(key)?.length}]`);
  }
  for (const { transaction, key, values } of reads) {
    const end = ends.get(key);
    const others = unread.get(key);
    if (end === undefined || others === undefined) continue;
    if (values.length !== orders.get(key)?.length) continue;
    const what = ` ${key}[${values.length}]`;
    if (!others.has(transaction)) graph.addEdge(nodeOf(transaction), end, 'rw', what);
    else {
      for (const other of [...others].slice(0, UNREAD_COMPARED_MAX)) {
        graph.addEdge(nodeOf(transaction), nodeOf(other), 'rw', what);
      }
    }
  }
}

/** One node for each end, in their order: as many edges as there are transactions, and not as many as there are pairs. */
function addRealTime(
  graph: DependencyGraph,
  nodes: readonly (readonly [ListTransaction, number])[],
): void {
  const ends = nodes
    .filter(([{ isStrict, endMs }]) => isStrict && endMs < Number.POSITIVE_INFINITY)
    .sort(([a], [b]) => a.endMs - b.endMs);
  const moments: { readonly atMs: number; readonly node: number }[] = [];
  for (const [{ endMs }, node] of ends) {
    const moment = graph.addNode();
    const before = moments.at(-1);
    if (before !== undefined) graph.addEdge(before.node, moment, 'rt', '');
    graph.addEdge(node, moment, 'rt', '');
    moments.push({ atMs: endMs, node: moment });
  }
  const begins = nodes
    .filter(([{ isStrict }]) => isStrict)
    .sort(([a], [b]) => a.beginMs - b.beginMs);
  let at = 0;
  for (const [{ beginMs }, node] of begins) {
    while ((moments[at]?.atMs ?? Number.POSITIVE_INFINITY) < beginMs) at += 1;
    const last = moments[at - 1];
    if (last !== undefined) graph.addEdge(last.node, node, 'rt', '');
  }
}

function show(values: readonly string[]): string {
  return `[${values.join(' ')}]`;
}
