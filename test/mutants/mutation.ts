/** One historical bug, put back into our source. */
export interface Mutation {
  /** Kebab-case; names the bug. */
  readonly name: string;
  /** What the bug does, in one sentence. */
  readonly bug: string;
  /** Who had it, or where it is described. */
  readonly history: string;
  readonly edits: readonly Edit[];
  /** Test files that ought to notice, besides the simulator. */
  readonly rules: readonly string[];
  /** Seeds that the simulator may need; 0: it cannot see this bug, `rules` must. */
  readonly seedsMax: number;
  /** Which they are, when the bug needs what only some of them have. Default: all, from 1. */
  readonly seeds?: { readonly from: number; readonly step: number };
}

export interface Edit {
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

/** `source` with the edit made; throws when it does not fit the source any more. */
export function applyEdit(source: string, edit: Edit): string {
  const parts = source.split(edit.find);
  if (parts.length !== 2) {
    throw new Error(
      `${edit.file}: the text of the mutation occurs ${parts.length - 1} times, not once: ${edit.find}`,
    );
  }
  return parts.join(edit.replace);
}
