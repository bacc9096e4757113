import { expect, test } from 'vitest';
import { pack } from '../../src/base/codec.js';
import { ADOPTED_UPLOADS } from '../../src/base/command-versions.js';
import { packItemChunk } from '../../src/base/job-codec.js';
import { JobWorld, stage } from './job-world.js';

/** Chunks of an input are taken as they come: what is wrong with them is found by who reads them, and is the client's mistake. */
test.each([
  ['fewer items', packItemChunk(['1']), 'chunk 0 of upload u has 1 items, and the job'],
  ['more items', packItemChunk(['1', '2', '3']), 'chunk 0 of upload u has 3 items, and the job'],
  ['no items at all', pack(7), 'chunk 0 of upload u is no list of items'],
  ['no msgpack', Buffer.from([0xc1]), 'chunk 0 of upload u is no list of items'],
])('a chunk of an uploaded input with %s is not what the job says', async (_, bytes, told) => {
  const world = await JobWorld.start();
  await world.do({ type: 'job-upload', upload: 'u', place: 0, bytes });
  await world.do({ type: 'job-upload', upload: 'u', place: 1, bytes: packItemChunk(['9']) });
  const input = { type: 'upload', upload: 'u', counts: [2, 1] } as const;
  expect(await world.submit([stage('map')], { input })).toMatchObject({ type: 'done' });

  const read = (): unknown => world.jobs.itemsAt(world.job(), 0, 3);
  expect(read).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  expect(read).toThrow(told);
});

test('an upload does not begin under the name of one whose chunks belong to a job, and may when they are gone', async () => {
  const world = await JobWorld.start();
  const chunk = (value: string) =>
    ({ type: 'job-upload', upload: 'u', place: 0, bytes: packItemChunk([value]) }) as const;
  const inNew = async (value: string) =>
    (await world.replica.doIn(ADOPTED_UPLOADS, chunk(value)))[0];
  expect(await inNew('1')).toMatchObject({ type: 'done' });
  const input = { type: 'upload', upload: 'u', counts: [1] } as const;
  await world.submit([stage('map')], { input });
  expect(await inNew('2')).toMatchObject({ type: 'error', code: 'INVALID_ARGUMENT' });
  expect(world.jobs.itemsAt(world.job(), 0, 1)).toEqual(['1']);

  await world.do({ type: 'job-control', job: 'j', action: 'cancel' });
  await world.do({ type: 'job-control', job: 'j', action: 'remove' });
  for (let i = 0; i < 4; i += 1) await world.step({ type: 'tidy', records: 100 });
  expect(await inNew('3')).toMatchObject({ type: 'done' });

  // What an entry of a version before means stays what it was.
  await world.submit([stage('map')], { input });
  const [old] = await world.replica.doIn(ADOPTED_UPLOADS - 1, chunk('4'));
  expect(old).toMatchObject({ type: 'done' });
});
