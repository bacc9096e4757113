import { expect, test } from 'vitest';
import { checkJobOperation } from '../../src/base/job-check.js';
import { LIMITS } from '../../src/base/limits.js';
import { spec, stage } from '../statemachine/job-world.js';

test.each([
  ['none', [2, 0], /without any/],
  ['more than it can have', [2, 1024 * 1024 + 1], /more items than it has bytes/],
  ['as many as it can have', [2, 1024 * 1024], null],
])('a chunk of an uploaded input has so many items: %s', (_, counts, refusal) => {
  const input = { type: 'upload', upload: 'u', counts } as const;
  const operation = {
    type: 'job-submit',
    job: 'j',
    spec: spec([stage('map')], { input }),
  } as const;
  const submit = (): void => checkJobOperation(operation, LIMITS);
  if (refusal === null) expect(submit).not.toThrow();
  else expect(submit).toThrow(refusal);
});
