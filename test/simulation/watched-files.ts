import type { MemoryFiles } from '../../src/storage/memory-files.js';
import { FRAME_HEADER_BYTES } from '../../src/storage/wal/format.js';

/** A frame that the log has written: more than a seal, into a file that is part of it. */
export interface FrameWrite {
  readonly path: string;
  readonly position: number;
}

/** From now on tells of each frame that is written to a log. */
export function watchFrames(files: MemoryFiles, onFrame: (frame: FrameWrite) => void): void {
  const open = files.open.bind(files);
  files.open = (path) => {
    const file = open(path);
    if (!path.endsWith('.wal')) return file;
    return {
      ...file,
      writeAtLater: (position, chunks, done) => {
        const bytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
        if (bytes > FRAME_HEADER_BYTES) onFrame({ path, position });
        file.writeAtLater(position, chunks, done);
      },
    };
  };
}
