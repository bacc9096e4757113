import type { JobDefinition, JobInput } from '../base/job-definition.js';
import { invalid } from './invalid.js';

/** What a field may be; those that are `undefined` are not there. */
type Form = (value: unknown) => boolean;

const text: Form = (value) => typeof value === 'string';
const number: Form = (value) => typeof value === 'number';
const flag: Form = (value) => typeof value === 'boolean';
const texts: Form = (value) => Array.isArray(value) && value.every(text);
const isObject: Form = (value) => typeof value === 'object' && value !== null;
const fields: Form = (value) => isObject(value) && !Array.isArray(value);
const iterable: Form = (value) => isObject(value) && Symbol.iterator in (value as object);
const procedure: Form = (value) => text(value) || text((value as { name?: unknown } | null)?.name);

const JOB: Readonly<Record<string, Form>> = {
  ...{ name: text, input: fields, stages: fields },
  ...{ priority: number, weight: number, retentionMs: number },
};

const STAGE: Readonly<Record<string, Form>> = {
  ...{ kind: text, run: procedure, task: text, after: (value) => text(value) || texts(value) },
  ...{ fanIn: number, labels: texts, memoryBytes: number, retries: number, lostRetries: number },
  ...{ poisonAfter: number, timeoutMs: number, speculate: flag },
};

const RANGE: Readonly<Record<string, Form>> = {
  ...{ prefix: text, from: text, to: text, bytesPerTask: number, keysPerTask: number },
  values: text,
};

/**
 * Whether a definition that plain JavaScript has made is one. What its values may be is looked at later, with that of others.
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function checkJobForm(definition: JobDefinition): void {
  check('the job', definition, JOB);
  const stages = Object.entries(definition.stages ?? {});
  if (stages.length === 0) throw invalid('the job has no stages');
  for (const [name, stage] of stages) check(`stage ${name}`, stage, STAGE);
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function checkInputForm(input: JobInput): void {
  const what = 'the input of the job';
  if (!fields(input)) throw invalid(`${what}: expected an object: { list }, { prefix } or others`);
  if ('list' in input) check(what, input, { list: iterable });
  else if ('generate' in input) check(what, input, { generate: procedure });
  else {
    check(what, input, RANGE);
    const { prefix, from } = input;
    if ((prefix === undefined) === (from === undefined)) {
      throw invalid(`${what}: expected one of list, generate, prefix and from`);
    }
  }
}

function check(what: string, value: unknown, forms: Readonly<Record<string, Form>>): void {
  if (!fields(value)) throw invalid(`${what}: expected an object`);
  for (const [field, given] of Object.entries(value as object)) {
    const form = Object.hasOwn(forms, field) ? forms[field] : undefined;
    if (form === undefined) {
      throw invalid(`${what} has no ${field}; it may have ${Object.keys(forms).join(', ')}`);
    }
    if (given !== undefined && !form(given))
      throw invalid(`${what}: ${field} is of the wrong type`);
  }
}
