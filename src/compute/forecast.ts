/** What a key was made of: a text of the arguments between two fixed ones, or a fixed one alone (`path` null). */
interface Template {
  readonly path: readonly string[] | null;
  readonly prefix: string;
  readonly suffix: string;
  /** Times in a row that it led to a key that was not read. */
  misses: number;
}

interface Leaf {
  readonly path: readonly string[];
  readonly text: string;
}

/** Procedures of which it is kept what they read. */
const FORECASTS_MAX = 100;
const TEMPLATES_MAX = 16;
const MISSES_MAX = 8;
const LEAVES_MAX = 32;
const DEPTH_MAX = 4;
const TEXT_LENGTH_MAX = 200;

/**
 * Guesses which keys calls of a procedure will read, from which they have read before: mostly a fixed text with one of the
 * arguments in it. So what they need can be fetched for many calls at once. A wrong guess costs a little, and nothing else.
 */
export class Forecast {
  #templates: Template[] = [];

  /** @param args as parsed */
  predict(args: unknown): readonly string[] {
    const keys = new Set<string>();
    for (const template of this.#templates) {
      const key = keyOf(template, args);
      if (key !== null) keys.add(key);
    }
    return [...keys];
  }

  /** What a call with these arguments has read. */
  learn(args: unknown, reads: ReadonlySet<string>): void {
    const known = new Set<string>();
    this.#templates = this.#templates.filter((template) => {
      const key = keyOf(template, args);
      if (key !== null && reads.has(key)) {
        known.add(key);
        template.misses = 0;
        return true;
      }
      template.misses += 1;
      return template.misses < MISSES_MAX;
    });
    if (known.size === reads.size) return;
    const leaves = leavesOf(args);
    for (const key of reads) {
      if (this.#templates.length >= TEMPLATES_MAX) return;
      if (!known.has(key) && key.length <= TEXT_LENGTH_MAX) {
        this.#templates.push(templateOf(key, leaves));
      }
    }
  }
}

/** One for each procedure; those that were not asked for the longest make room. */
export class Forecasts {
  /** The one that was asked for last is behind. */
  readonly #all = new Map<string, Forecast>();
  #last: { readonly procedure: string; readonly forecast: Forecast } | null = null;

  of(procedure: string): Forecast {
    if (this.#last?.procedure === procedure) return this.#last.forecast;
    const forecast = this.#all.get(procedure) ?? new Forecast();
    this.#all.delete(procedure);
    this.#all.set(procedure, forecast);
    const [oldest] = this.#all.keys();
    if (this.#all.size > FORECASTS_MAX && oldest !== undefined) this.#all.delete(oldest);
    this.#last = { procedure, forecast };
    return forecast;
  }
}

function templateOf(key: string, leaves: readonly Leaf[]): Template {
  // The longest one: others are in it by chance.
  for (const { path, text } of leaves) {
    const at = key.indexOf(text);
    if (at < 0) continue;
    return { path, prefix: key.slice(0, at), suffix: key.slice(at + text.length), misses: 0 };
  }
  return { path: null, prefix: key, suffix: '', misses: 0 };
}

function keyOf({ path, prefix, suffix }: Template, args: unknown): string | null {
  if (path === null) return prefix;
  let value = args;
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return null;
    value = (value as Record<string, unknown>)[name];
  }
  const text = textOf(value);
  return text === null ? null : prefix + text + suffix;
}

function textOf(value: unknown): string | null {
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value.length <= TEXT_LENGTH_MAX ? value : null;
}

/** The texts and numbers in the arguments, the longest first. */
function leavesOf(args: unknown): Leaf[] {
  const leaves: Leaf[] = [];
  const visit = (value: unknown, path: readonly string[]): void => {
    if (leaves.length >= LEAVES_MAX) return;
    const text = textOf(value);
    if (text !== null) {
      if (text !== '') leaves.push({ path, text });
    } else if (typeof value === 'object' && value !== null && path.length < DEPTH_MAX) {
      for (const [name, inner] of Object.entries(value)) visit(inner, [...path, name]);
    }
  };
  visit(args, []);
  return leaves.sort((a, b) => b.text.length - a.text.length);
}
