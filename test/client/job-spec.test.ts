import { describe, expect, test } from 'vitest';
import type { JobDefinition, JobInput } from '../../src/base/job-definition.js';
import { checkJobForm } from '../../src/client/job-form.js';
import { toInput } from '../../src/client/job-spec.js';

/** What plain JavaScript may hand over in the place of a job. */

const stages = { map: { run: 'count' } };
const refused = (message: string) =>
  expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(message) });

describe('the form of a job', () => {
  test.each([
    ['nothing', undefined, 'the job: expected an object'],
    ['a list', [stages], 'the job: expected an object'],
    ['no stages', {}, 'no stages'],
    ['empty stages', { stages: {} }, 'no stages'],
    ['stages as a list', { stages: [{ run: 'a' }] }, 'stages is of the wrong type'],
    ['a field that there is not', { stages, stage: {} }, 'the job has no stage; it may have name'],
    ['a field of all objects', { stages, toString: 'x' }, 'the job has no toString'],
    ['a priority that is a text', { stages, priority: '5' }, 'priority is of the wrong type'],
    ['a stage that is a text', { stages: { map: 'count' } }, 'stage map: expected an object'],
    ['a stage with a wrong field', { stages: { map: { runs: 'a' } } }, 'stage map has no runs'],
    ['a run that is a function', { stages: { map: { run: 5 } } }, 'run is of the wrong type'],
    ['labels as a text', { stages: { map: { task: 'a', labels: 'gpu' } } }, 'labels is of the'],
  ])('is not %s', (_what, definition, message) => {
    expect(() => checkJobForm(definition as unknown as JobDefinition)).toThrow(refused(message));
  });

  test('is what there is, also with fields that are undefined, and procedures by reference', () => {
    const run = { name: 'count@prod' };
    const map = { run, labels: ['gpu'], after: ['input'], kind: undefined, speculate: false };
    expect(() => checkJobForm({ stages: { map }, name: 'x', priority: 1 })).not.toThrow();
  });
});

describe('the input of a job', () => {
  test.each([
    ['a list by itself', [1, 2], 'expected an object'],
    ['a text', 'text/', 'expected an object'],
    ['an empty object', {}, 'expected one of list'],
    ['a list that is none', { list: 5 }, 'list is of the wrong type'],
    ['two things at once', { list: [1], prefix: 'a' }, 'has no prefix'],
    ['a prefix and a begin', { prefix: 'a', from: 'b' }, 'expected one of list'],
    ['an end alone', { to: 'b' }, 'expected one of list'],
    ['pieces as a text', { prefix: 'a', keysPerTask: '10' }, 'keysPerTask is of the wrong type'],
    ['a generator that is none', { generate: 7 }, 'generate is of the wrong type'],
  ])('is not %s', (_what, input, message) => {
    expect(() => toInput(input as unknown as JobInput, 'up')).toThrow(refused(message));
  });

  test('is each of the three kinds', () => {
    expect(toInput({ list: new Set([1]) }, 'up').input).toEqual({ type: 'list', items: ['1'] });
    expect(toInput({ generate: { name: 'g' } }, 'up').input).toEqual({
      type: 'generator',
      run: 'g',
    });
    expect(toInput({ prefix: 'a' }, 'up').input).toMatchObject({ type: 'range' });
  });
});
