/**
 * What runs inside the sandbox before any procedure: it takes away what has no place there, makes all that
 * calls have in common unchangeable, and builds the `ctx` of each call. Text, since it is code of the sandbox and
 * not of this process. `host` is the one thing that it knows of the outside.
 *
 * Nothing of a call outlives it: the globals are frozen, and the code of the procedures is instantiated anew for each
 * call, with a `globalThis` of its own (an object that inherits from the real one); or once, if that takes long, and then
 * all memory is put back behind each call. Assigning to an own property that has the name of an inherited frozen one
 * would fail ("override mistake"): the usual ones among them are accessors that define the own property.
 */
export const GUEST_CODE = `((raw) => {
'use strict';
const { parse, stringify } = JSON;
const { create, freeze, defineProperty, hasOwn, getOwnPropertyDescriptor, getPrototypeOf } = Object;
const realGlobal = globalThis;
const sourceOf = Function.prototype.toString;
const { ownKeys } = Reflect;
const RealDate = Date;
const RealPromise = Promise;
const then = RealPromise.prototype.then;
const call = Function.prototype.call.bind(Function.prototype.call);
const { toString } = RealDate.prototype;

let now = 0;
let seed = 0;

/**
 * To ask the host costs more than all else: a call that is given what it is likely to read, and only reads and writes plain
 * keys, need not ask. What it has read and written is told at the end, or before it asks for anything.
 */
let known = create(null);
let seen = [];
let written = new Map();
/** Of cells: who only changes one waits for no answer. */
let changes = [];
let isDirect = true;

const WRITTEN_MAX = 64;
const JSON_LENGTH_MAX = 4096;
const KEY_LENGTH_MAX = 200;

/** What the host would say of it is known. */
const isPlain = (key) =>
  typeof key === 'string' && key.length > 0 && key.length <= KEY_LENGTH_MAX && key[0] !== '_' && key.isWellFormed() && !key.includes('\\0');

const flush = () => {
  if (isDirect) return;
  isDirect = true;
  if (seen.length + written.size + changes.length > 0) raw.replay(stringify([seen, [...written], changes]));
};

/** Asks the host, which knows all that was done before. */
const host = create(null);
for (const name of Object.keys(raw)) {
  const asked = raw[name];
  host[name] = name === 'log' ? asked : (...args) => {
    flush();
    return asked(...args);
  };
}

const write = (key, json) => {
  if (isDirect || current.mode !== 'cp' || !isPlain(key) || written.size >= WRITTEN_MAX) return false;
  if (json !== null && json.length > JSON_LENGTH_MAX) return false;
  written.set(key, json);
  return true;
};

const random = () => {
  // mulberry32
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};

function CallDate(...args) {
  if (new.target === undefined) return call(toString, new RealDate(now));
  return Reflect.construct(RealDate, args.length === 0 ? [now] : args, new.target);
}
CallDate.prototype = RealDate.prototype;
defineProperty(RealDate.prototype, 'constructor', { value: CallDate, writable: true, configurable: true });
CallDate.now = () => now;
CallDate.parse = RealDate.parse;
CallDate.UTC = RealDate.UTC;
globalThis.Date = CallDate;
Math.random = random;
for (const name of ['WeakRef', 'FinalizationRegistry', 'SharedArrayBuffer', 'Atomics']) delete globalThis[name];

const OVERRIDDEN = ['constructor', 'toString', 'toLocaleString', 'valueOf', 'name', 'message', 'hasOwnProperty', 'toJSON'];

const enableOverride = (proto, key, value) => {
  const get = () => value;
  const set = function (own) {
    if (this === proto) throw new TypeError('the objects that all calls share cannot be changed');
    defineProperty(this, key, { value: own, writable: true, enumerable: true, configurable: true });
  };
  for (const accessor of [get, set, set.prototype]) if (accessor !== undefined) freeze(accessor);
  defineProperty(proto, key, { configurable: true, enumerable: false, get, set });
};

const harden = (roots) => {
  const seen = new Set();
  const queue = [...roots];
  while (queue.length > 0) {
    const object = queue.pop();
    if ((typeof object !== 'object' && typeof object !== 'function') || object === null || seen.has(object)) continue;
    seen.add(object);
    queue.push(getPrototypeOf(object));
    for (const key of ownKeys(object)) {
      const { value, get, set } = getOwnPropertyDescriptor(object, key);
      queue.push(value, get, set);
    }
  }
  const isPrototype = (object) => {
    const own = getOwnPropertyDescriptor(object, 'constructor');
    return own !== undefined && typeof own.value === 'function';
  };
  for (const object of seen) {
    if (object !== globalThis && typeof object === 'object' && isPrototype(object)) {
      for (const key of OVERRIDDEN) {
        const own = getOwnPropertyDescriptor(object, key);
        if (own !== undefined && own.writable === true && own.configurable === true) enableOverride(object, key, own.value);
      }
    }
  }
  for (const object of seen) freeze(object);
};

harden([
  globalThis,
  // What only syntax leads to.
  function () {}, async function () {}, function* () {}, async function* () {},
  (function* () {})(), (async function* () {})(),
  [][Symbol.iterator](), new Map()[Symbol.iterator](), new Set()[Symbol.iterator](), ''[Symbol.iterator](),
  'a'.matchAll(/a/g), [].values().map?.((x) => x), globalThis.Iterator?.from?.({ next() {} }),
  globalThis.Iterator?.concat?.([]),
]);

/** Of what is said of a failure the host takes less than this. */
const TOLD_LENGTH_MAX = 10000;

const textOf = (value) => {
  try {
    return typeof value === 'string' ? value : String(value);
  } catch {
    return 'something that cannot be shown';
  }
};

const told = (value) => textOf(value).slice(0, TOLD_LENGTH_MAX);

/** In the sandbox, where it may take as long as it likes: within the limits of the call. */
const describe = (thrown) => {
  try {
    // The interpreter has thrown nothing: it does so when it has no memory for what it would throw.
    if (typeof thrown === 'unknown') return ['InternalError', 'out of memory', ''];
    if ((typeof thrown === 'object' || typeof thrown === 'function') && thrown !== null) {
      const { name, message, stack } = thrown;
      if (message !== undefined) return [name === undefined ? 'Error' : told(name), told(message), told(stack ?? '')];
      return ['', told(stringify(thrown)), ''];
    }
    return ['', told(thrown), ''];
  } catch {
    return ['', 'something that cannot be shown', ''];
  }
};

const shown = (value) => {
  if (typeof value === 'string') return value;
  try {
    return stringify(value) ?? textOf(value);
  } catch {
    return textOf(value);
  }
};

const jsonOf = (what, value) => {
  const json = stringify(value);
  if (json === undefined) throw new TypeError(what + ': ' + typeof value + ' cannot be stored; use ctx.delete to remove a key');
  return json;
};

/** Texts go to the host as JSON. */
const json = (value) => stringify(textOf(value));

const keyOf = (key) => {
  if (typeof key !== 'string') throw new TypeError('a key must be a string, found ' + typeof key);
  return stringify(key);
};

const valueOf = (key, stored) => {
  try {
    return parse(stored);
  } catch {
    host.undecodable(stringify(key));
    return null;
  }
};

/**
 * What a call does with one cell: the host has it, and knows what that means. A change is told with the next question, or at the
 * end; what is wrong with it, the call fails of all the same.
 */
const accessTo = ({ cell, key }) => {
  if (typeof key !== 'string') keyOf(key);
  const ask = (action, ...operands) => {
    if (isDirect || operands.some(isLong)) return parse(host.cell(json(cell), stringify(key), stringify(action), ...operands));
    const told = changes;
    changes = [];
    told.push([cell, key, action, ...operands]);
    return parse(raw.cells(stringify(told)));
  };
  const change = (action, ...operands) => {
    const isLater = !isDirect && current.mode === 'ap' && changes.length < WRITTEN_MAX && !operands.some(isLong);
    if (isLater) changes.push([cell, key, action, ...operands]);
    else ask(action, ...operands);
  };
  return { ask, change };
};

const isLong = (operand) => operand.length > JSON_LENGTH_MAX;

const cellJson = (what, value) => {
  const text = stringify(value);
  if (text === undefined) throw new TypeError(what + ': ' + typeof value + ' is no JSON');
  return text;
};

/** By type of cell: what a procedure has of it. */
const CELLS = freeze({
  __proto__: null,
  counter: ({ ask, change }) => ({
    value: () => ask('view'),
    add: (by = 1) => change('add', cellJson('by', by)),
  }),
  escrow: ({ ask, change }) => ({
    value: () => ask('view'),
    rights: () => ask('rights'),
    add: (by) => change('add', cellJson('by', by)),
    take: (by) => ask('take', cellJson('by', by)),
  }),
  set: ({ ask, change }) => ({
    values: () => ask('view'),
    has: (item) => ask('has', cellJson('the item of a set', item)),
    add: (item) => change('add', cellJson('the item of a set', item)),
    remove: (item) => change('remove', cellJson('the item of a set', item)),
  }),
  map: ({ ask, change }) => ({
    entries: () => ask('view'),
    get: (field) => ask('get', cellJson('the field of a map', field)),
    put: (field, value) => change('put', cellJson('the field of a map', field), cellJson('a value', value)),
    remove: (field) => change('remove', cellJson('the field of a map', field)),
  }),
  register: ({ ask, change }) => ({
    value: () => ask('view'),
    set: (value) => change('set', cellJson('a value', value)),
  }),
  'multi-value': ({ ask, change }) => ({
    values: () => ask('view'),
    set: (value) => change('set', cellJson('a value', value)),
  }),
  log: ({ ask, change }) => ({
    entries: () => ask('view'),
    append: (value) => change('append', cellJson('a value', value)),
  }),
});

/** One for all calls: nothing of a call is left that could speak for a later one. */
const ctx = {
  get now() { return now; },
  random,
  get: (key) => {
    if (!isDirect && isPlain(key)) {
      const own = written.get(key);
      if (own !== undefined) return own === null ? null : parse(own);
      if (hasOwn(known, key)) {
        seen.push(key);
        const at = known[key];
        return at === null ? null : valueOf(key, at);
      }
    }
    const stored = host.get(keyOf(key));
    return stored === undefined ? null : valueOf(key, stored);
  },
  put: (key, value) => {
    if (typeof key !== 'string') keyOf(key);
    const text = jsonOf('ctx.put of ' + key, value);
    if (!write(key, text)) host.put(keyOf(key), text);
  },
  delete: (key) => {
    if (!write(key, null)) host.delete(keyOf(key));
  },
  add: (key, by) => { host.update('"add"', keyOf(key), typeof by === 'number' ? by : NaN); },
  max: (key, by) => { host.update('"max"', keyOf(key), typeof by === 'number' ? by : NaN); },
  setIfAbsent: (key, value) => { host.setIfAbsent(keyOf(key), jsonOf('ctx.setIfAbsent of ' + key, value)); },
  emit: (name, payload = null) => { host.emit(json(name), jsonOf('ctx.emit of ' + textOf(name), payload)); },
  cell: (of) => {
    const { cell, key } = of ?? {};
    const handleOf = typeof cell === 'string' ? CELLS[cell] : undefined;
    if (handleOf === undefined) throw new TypeError('ctx.cell takes what counter(), set() and the like give');
    return freeze(handleOf(accessTo({ cell, key })));
  },
  log: (...values) => { host.log(stringify(values.map(shown).join(' ').slice(0, TOLD_LENGTH_MAX))); },
  get task() { return current.task; },
  get lastCheckpoint() { return current.task === null ? null : current.task.lastCheckpoint; },
  checkpoint: (value) => { host.checkpoint(jsonOf('ctx.checkpoint', value)); },
  abort: (reason = 'aborted') => { host.abort(stringify(told(reason))); },
  scan: async ({ prefix, from, to, limit } = {}) => {
    const pairs = parse(host.scan(stringify({ prefix, from, to, limit })));
    return pairs.map(([key, stored]) => ({ key, value: valueOf(key, stored) }));
  },
  schedule: (when, target, args = null) => {
    const { atMs, inMs, cron, id } = when ?? {};
    const name = typeof target === 'string' ? target : nameOf(target);
    const definition = typeof target === 'string' ? current.definitions[target] : target;
    // Who may not write at all is told that.
    const mode = current.mode === 'cp' && isProcedure(definition) ? textOf(definition.mode) : undefined;
    const due = host.due(stringify({ atMs, inMs, cron, id, name, mode, now }));
    const chosen = id ?? Math.floor(random() * 2 ** 32).toString(36) + Math.floor(random() * 2 ** 32).toString(36);
    const key = '_schedules/' + textOf(due).padStart(15, '0') + '/' + chosen;
    ctx.cancel(chosen);
    ctx.put(key, { procedure: name, args, cron: cron ?? null });
    ctx.put('_schedule-ids/' + chosen, key);
    return chosen;
  },
  cancel: (id) => {
    const pointer = '_schedule-ids/' + id;
    const key = ctx.get(pointer);
    if (key === null) return false;
    ctx.delete(key);
    ctx.delete(pointer);
    return true;
  },
  call: async (target, args = null) => {
    const definition = typeof target === 'string' ? current.definitions[target] : target;
    if (!isProcedure(definition)) {
      host.unknown(json(typeof target === 'string' ? target : 'what was given to ctx.call'));
      return undefined;
    }
    // What a call may do depends on how it was called, and is seen to where it does it. As over the wire: the two have nothing in common but the store.
    const result = await handled(definition, parse(jsonOf('the arguments of ctx.call', args)));
    return parse(stringify(result) ?? 'null');
  },
};
harden([ctx]);

/** Under which it is exported. */
const nameOf = (target) => {
  const found = Object.entries(current.definitions).find(([, value]) => value === target);
  return found === undefined ? '' : found[0];
};

/** Of the call under way. */
let current = { definitions: create(null), mode: '', task: null };

const validated = (definition, value) => {
  const schema = definition.args;
  if (schema === undefined || schema === null) return value;
  const settle = (outcome) => {
    if (outcome.issues === undefined) return outcome.value;
    const issues = [...outcome.issues].map(({ path, message }) => {
      const keys = [...(path ?? [])].map((part) => textOf(typeof part === 'object' ? part.key : part));
      return keys.length === 0 ? textOf(message) : keys.join('.') + ': ' + textOf(message);
    });
    host.refuse(stringify(told(issues.join('; '))));
  };
  const outcome = schema['~standard'].validate(value);
  return outcome instanceof RealPromise ? call(then, outcome, settle) : settle(outcome);
};

const isProcedure = (value) => typeof value === 'object' && value !== null && typeof value.handler === 'function';

/** Libraries that keep something in globalThis have one of their own in each call. */
const definitions = () => {
  if (prepared !== null) return prepared;
  // Whether it is done once or for each call is not to be seen: it has no time and no chance of its own.
  now = 0;
  seed = 0;
  return instantiate(create(realGlobal));
};

let prepared = null;
let instantiate = null;

/** Takes the code, if it is the function that it was made as: text could end that early, and go on outside of it. */
const adopt = (made, text) => {
  if (typeof made === 'function' && call(sourceOf, made) === text) {
    instantiate = made;
    done(null);
  }
};

const prepare = () => {
  try {
    prepared = null;
    prepared = definitions();
    done(null);
  } catch (thrown) {
    failed(thrown);
  }
};
const forget = () => {
  prepared = null;
  done(null);
};

const handled = (definition, args) => {
  const handle = (value) => definition.handler(ctx, value);
  const valid = validated(definition, args);
  return valid instanceof RealPromise ? call(then, valid, handle) : handle(valid);
};

const run = (name, mode, args, nowMs, seedOfCall, task) => {
  current = { definitions: definitions(), mode, task };
  const definition = current.definitions[name];
  now = nowMs;
  seed = seedOfCall;
  if (!isProcedure(definition)) {
    host.unknown(json(name));
    return undefined;
  }
  if (definition.mode !== mode) host.unexpected(json(definition.mode));
  return handled(definition, args);
};

const resultOf = (value) => stringify(value) ?? 'null';
const done = (value) => {
  host.done(resultOf(value));
};
const failed = (thrown) => {
  const [name, message, stack] = describe(thrown);
  try {
    flush();
  } catch {
    // It fails of what it has done before, and the host knows.
  }
  host.failed(json(name), json(message), json(stack));
};

/** Tells the host what the code defines. */
const list = () => {
  try {
    const found = Object.entries(definitions()).filter(([, value]) => isProcedure(value));
    done(found.map(([name, { mode, trigger }]) => ({ name, mode: textOf(mode), trigger: typeof trigger === 'string' ? trigger : null })));
  } catch (thrown) {
    failed(thrown);
  }
};

/**
 * Begins a call. It has ended when this returns what came of it, or when the host was told done or failed, perhaps in a
 * later job.
 */
const start = (text) => {
  try {
    const [name, mode, args, nowMs, seedOfCall, forecast, invalid = null, task = null] = parse(text);
    known = forecast;
    seen = [];
    written = new Map();
    changes = [];
    isDirect = false;
    const outcome = run(name, mode, invalid === null ? args : parse(invalid), nowMs, seedOfCall, task);
    if (outcome instanceof RealPromise || typeof outcome?.then === 'function') {
      // What is awaited may throw when it is looked at.
      call(then, (async () => await outcome)(), (value) => { try { done(value); } catch (thrown) { failed(thrown); } }, failed);
    } else if (isDirect) {
      done(outcome);
    } else {
      // What it gives is looked at first: that may read and write, too.
      const result = resultOf(outcome);
      if (isDirect) {
        host.done(result);
      } else {
        const told = stringify([result, seen, [...written], changes]);
        // What it has left to do asks the host.
        isDirect = true;
        return told;
      }
    }
  } catch (thrown) {
    failed(thrown);
  }
  return undefined;
};

return { adopt, list, start, prepare, forget };
})`;
