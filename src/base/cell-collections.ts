import {
  canonicalJson,
  canonicalText,
  compareStamps,
  compareTexts,
  fieldsOf,
  listOf,
  parseTag,
  resolved,
  type Stamped,
  stampedText,
  type TagStamp,
  tagOf,
  toStamped,
  toTag,
} from './cell-values.js';
import type { CellChange, ChangeTag } from './delta.js';

type ChangeOf<Type extends CellChange['cell']> = Extract<CellChange, { readonly cell: Type }>;

type JsonFields = Readonly<Record<string, unknown>>;

/** Bytes around one tag, item, value or field, roughly. */
const AROUND_TAG = 3;
const AROUND_ITEM = 20;
const AROUND_STAMPED = 50;
const AROUND_FIELD = 5;
const AROUND_CELL = 32;

/** An item is there as long as one of those that have added it was not seen by a removal. */
export class SetState {
  readonly type = 'set';
  /** By item: who has added it. Never empty. */
  readonly #items: Map<string, readonly ChangeTag[]>;
  #bytes = AROUND_CELL;

  constructor(items = new Map<string, readonly ChangeTag[]>(), bytes = AROUND_CELL) {
    this.#items = items;
    this.#bytes = bytes;
  }

  /** @throws whatever it does not like */
  static from(json: JsonFields): SetState {
    const made = new SetState();
    for (const entry of listOf(json.items)) {
      const { item, tags } = fieldsOf(entry);
      made.#replace(canonicalText(item), [...listOf(tags).map(toTag)].sort(compareTags));
    }
    return made;
  }

  get bytes(): number {
    return this.#bytes;
  }

  apply(change: ChangeOf<'set'>, stamp: TagStamp): boolean {
    const item = canonicalJson(change.item);
    if (item === null) return false;
    const before = this.#items.get(item) ?? [];
    const kept = without(before, resolved(change.observed, stamp));
    if (change.type === 'add') this.#replace(item, withTag(kept, tagOf(stamp)));
    else this.#replace(item, kept);
    return true;
  }

  /** @param part JSON */
  tagsOf(part: string): readonly ChangeTag[] {
    return this.#items.get(canonicalJson(part) ?? '') ?? [];
  }

  text(): string {
    const items = this.#sorted().map(
      (item) => `{"item":${item},"tags":${JSON.stringify(this.#items.get(item))}}`,
    );
    return `{"type":"set","items":[${items.join()}]}`;
  }

  view(): string {
    return `[${this.#sorted().join()}]`;
  }

  clone(): SetState {
    return new SetState(new Map(this.#items), this.#bytes);
  }

  #sorted(): string[] {
    return [...this.#items.keys()].sort(compareTexts);
  }

  #replace(item: string, tags: readonly ChangeTag[]): void {
    this.#bytes += sizeOfItem(item, tags) - sizeOfItem(item, this.#items.get(item) ?? []);
    if (tags.length === 0) this.#items.delete(item);
    else this.#items.set(item, tags);
  }
}

/** As a set of fields, each with what was put there last; those put at the same time are all kept until one is put that has seen them. */
export class MapState {
  readonly type = 'map';
  /** By field, the latest behind. Never empty. */
  readonly #fields: Map<string, readonly Stamped[]>;
  #bytes: number;

  constructor(fields = new Map<string, readonly Stamped[]>(), bytes = AROUND_CELL) {
    this.#fields = fields;
    this.#bytes = bytes;
  }

  /** @throws whatever it does not like */
  static from(json: JsonFields): MapState {
    const made = new MapState();
    for (const [field, puts] of Object.entries(fieldsOf(json.fields))) {
      made.#replace(field, listOf(puts).map(toStamped).sort(byStamp));
    }
    return made;
  }

  get bytes(): number {
    return this.#bytes;
  }

  apply(change: ChangeOf<'map'>, stamp: TagStamp): boolean {
    const value = change.type === 'put' ? canonicalJson(change.value) : '';
    if (value === null) return false;
    const observed = new Set(resolved(change.observed, stamp));
    const before = this.#fields.get(change.field) ?? [];
    const kept = before.filter((put) => !observed.has(tagOf(put.stamp)));
    if (change.type === 'put') insert(kept, { stamp, value });
    this.#replace(change.field, kept);
    return true;
  }

  fieldOf(field: string): string | null {
    return this.#fields.get(field)?.at(-1)?.value ?? null;
  }

  tagsOf(part: string): readonly ChangeTag[] {
    return (this.#fields.get(part) ?? []).map(({ stamp }) => tagOf(stamp));
  }

  text(): string {
    const fields = this.#sorted().map(
      ([field, puts]) => `${JSON.stringify(field)}:[${puts.map(stampedText).join()}]`,
    );
    return `{"type":"map","fields":{${fields.join()}}}`;
  }

  view(): string {
    const fields = this.#sorted().map(
      ([field, puts]) => `${JSON.stringify(field)}:${puts.at(-1)?.value}`,
    );
    return `{${fields.join()}}`;
  }

  clone(): MapState {
    return new MapState(new Map(this.#fields), this.#bytes);
  }

  #sorted(): (readonly [string, readonly Stamped[]])[] {
    return [...this.#fields].sort(([a], [b]) => compareTexts(a, b));
  }

  #replace(field: string, puts: readonly Stamped[]): void {
    this.#bytes += sizeOfField(field, puts) - sizeOfField(field, this.#fields.get(field) ?? []);
    if (puts.length === 0) this.#fields.delete(field);
    else this.#fields.set(field, puts);
  }
}

/** The last one wins. */
export class RegisterState {
  readonly type = 'register';
  #last: Stamped | null;

  constructor(last: Stamped | null = null) {
    this.#last = last;
  }

  /** @throws whatever it does not like */
  static from(json: JsonFields): RegisterState {
    return new RegisterState(json.last === null ? null : toStamped(json.last));
  }

  get bytes(): number {
    return AROUND_CELL + (this.#last === null ? 0 : sizeOfStamped(this.#last));
  }

  apply(change: ChangeOf<'register'>, stamp: TagStamp): boolean {
    const value = canonicalJson(change.value);
    if (value === null) return false;
    const isLater = this.#last === null || compareStamps(stamp, this.#last.stamp) > 0;
    if (isLater) this.#last = { stamp, value };
    return true;
  }

  text(): string {
    return `{"type":"register","last":${this.#last === null ? 'null' : stampedText(this.#last)}}`;
  }

  view(): string {
    return this.#last?.value ?? 'null';
  }

  clone(): RegisterState {
    return new RegisterState(this.#last);
  }
}

/** All values that were set at the same time, until one is set that has seen them. */
export class MultiValueState {
  readonly type = 'multi-value';
  /** In order. */
  #values: readonly Stamped[];

  constructor(values: readonly Stamped[] = []) {
    this.#values = values;
  }

  /** @throws whatever it does not like */
  static from(json: JsonFields): MultiValueState {
    return new MultiValueState(listOf(json.values).map(toStamped).sort(byStamp));
  }

  get bytes(): number {
    return this.#values.reduce((sum, one) => sum + sizeOfStamped(one), AROUND_CELL);
  }

  apply(change: ChangeOf<'multi-value'>, stamp: TagStamp): boolean {
    const value = canonicalJson(change.value);
    if (value === null) return false;
    const observed = new Set(resolved(change.observed, stamp));
    const kept = this.#values.filter((one) => !observed.has(tagOf(one.stamp)));
    this.#values = insert(kept, { stamp, value });
    return true;
  }

  tagsOf(): readonly ChangeTag[] {
    return this.#values.map(({ stamp }) => tagOf(stamp));
  }

  text(): string {
    return `{"type":"multi-value","values":[${this.#values.map(stampedText).join()}]}`;
  }

  view(): string {
    return `[${this.#values.map(({ value }) => value).join()}]`;
  }

  clone(): MultiValueState {
    return new MultiValueState(this.#values);
  }
}

/** All that was ever appended, in the order of its stamps, whenever it has come. */
export class LogState {
  readonly type = 'log';
  readonly #entries: Stamped[];
  #bytes: number;

  constructor(entries: Stamped[] = [], bytes = AROUND_CELL) {
    this.#entries = entries;
    this.#bytes = bytes;
  }

  /** @throws whatever it does not like */
  static from(json: JsonFields): LogState {
    const entries = listOf(json.entries).map(toStamped).sort(byStamp);
    return new LogState(
      entries,
      entries.reduce((sum, entry) => sum + sizeOfStamped(entry), AROUND_CELL),
    );
  }

  get bytes(): number {
    return this.#bytes;
  }

  apply(change: ChangeOf<'log'>, stamp: TagStamp): boolean {
    const value = canonicalJson(change.value);
    if (value === null) return false;
    const entry = { stamp, value };
    insert(this.#entries, entry);
    this.#bytes += sizeOfStamped(entry);
    return true;
  }

  text(): string {
    return `{"type":"log","entries":[${this.#entries.map(stampedText).join()}]}`;
  }

  view(): string {
    return `[${this.#entries.map(({ value }) => value).join()}]`;
  }

  clone(): LogState {
    return new LogState([...this.#entries], this.#bytes);
  }
}

function byStamp(a: Stamped, b: Stamped): number {
  return compareStamps(a.stamp, b.stamp);
}

/** Where it belongs: most often behind all others. */
function insert(sorted: Stamped[], one: Stamped): Stamped[] {
  let at = sorted.length;
  while (at > 0 && byStamp(sorted[at - 1] as Stamped, one) > 0) at -= 1;
  sorted.splice(at, 0, one);
  return sorted;
}

function without(tags: readonly ChangeTag[], observed: readonly ChangeTag[]): ChangeTag[] {
  const gone = new Set(observed);
  return tags.filter((tag) => !gone.has(tag));
}

function withTag(tags: readonly ChangeTag[], tag: ChangeTag): ChangeTag[] {
  return tags.includes(tag) ? [...tags] : [...tags, tag].sort(compareTags);
}

function compareTags(a: ChangeTag, b: ChangeTag): number {
  const [one, other] = [parseTag(a), parseTag(b)];
  if (one === null || other === null) return compareTexts(a, b);
  return compareTexts(one.call, other.call) || one.place - other.place;
}

function sizeOfItem(item: string, tags: readonly ChangeTag[]): number {
  if (tags.length === 0) return 0;
  const start = AROUND_ITEM + Buffer.byteLength(item);
  return tags.reduce((sum, tag) => sum + AROUND_TAG + tag.length, start);
}

function sizeOfField(field: string, puts: readonly Stamped[]): number {
  if (puts.length === 0) return 0;
  const start = AROUND_FIELD + Buffer.byteLength(JSON.stringify(field));
  return puts.reduce((sum, put) => sum + sizeOfStamped(put), start);
}

function sizeOfStamped({ stamp, value }: Stamped): number {
  return AROUND_STAMPED + stamp.call.length + Buffer.byteLength(value);
}
