import { expect, test } from 'vitest';
import { pack } from '../../src/base/codec.js';
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
