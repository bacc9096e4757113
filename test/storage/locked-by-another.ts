import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { LOCK_FOLDER } from '../../src/storage/folder-lock.js';

/** Another process has the lock of the folder, as a replica that runs. */
export async function lockedByAnother(folder: string): Promise<{ kill(): Promise<void> }> {
  const script = `
    import { Level } from 'level';
    await new Level(process.argv[1]).open();
    console.log('open');
    // It ends with whoever has started it.
    process.stdin.resume().on('end', () => process.exit());`;
  const place = join(folder, LOCK_FOLDER);
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, place]);
  await once(child.stdout, 'data');
  return {
    async kill() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
