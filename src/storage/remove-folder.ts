import { toFolderError } from './disk-error.js';
import type { Files } from './files.js';

/** @throws BalsaError `DATA_FOLDER_UNUSABLE`, `DISK_FAILED` */
export function removeFolder(files: Files, folder: string): Promise<void> {
  return new Promise((resolve, reject) => {
    files.removeFolderLater(folder, (error) => {
      if (error === null) resolve();
      else reject(toFolderError(error, folder));
    });
  });
}
