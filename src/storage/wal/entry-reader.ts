import { crc32 } from '../../base/checksum.js';
import type { Entry, LogIndex } from '../../raft/types.js';
import { toDiskError } from '../disk-error.js';
import type { EntryPlace } from './entry-index.js';
import type { LogImage } from './log-image.js';
import { corrupt, corruptMeanwhile } from './recovery.js';
import type { Segment } from './segment.js';

/** Bytes between two payloads that are read along rather than skipped. */
const GAP_BYTES_MAX = 64 * 1024;
const SPAN_BYTES_MAX = 16 * 1024 * 1024;

interface LocatedEntry {
  readonly index: LogIndex;
  readonly term: number;
  readonly place: EntryPlace;
}

/** Entries that one read of the disk brings. */
interface Span {
  readonly segment: Segment;
  readonly from: number;
  to: number;
  readonly entries: LocatedEntry[];
}

export interface EntryRange {
  readonly fromIndex: LogIndex;
  readonly toIndex: LogIndex;
  readonly bytesMax: number;
}

/** At least one entry from `fromIndex` on, then as many as fit, by the reads that bring them. */
function toSpans(image: LogImage, range: EntryRange): Span[] {
  const spans: Span[] = [];
  let bytes = 0;
  for (let index = range.fromIndex; index <= range.toIndex; index += 1) {
    const place = image.placeOf(index);
    bytes += place.byteLength;
    if (bytes > range.bytesMax && index > range.fromIndex) break;
    const entry = { index, term: image.termAt(index), place };
    const end = place.offset + place.byteLength;
    const span = spans.at(-1);
    if (span !== undefined && continues(span, place)) {
      span.to = end;
      span.entries.push(entry);
    } else {
      spans.push({ segment: place.segment, from: place.offset, to: end, entries: [entry] });
    }
  }
  return spans;
}

function continues(span: Span, place: EntryPlace): boolean {
  return (
    span.segment === place.segment &&
    place.offset - span.to <= GAP_BYTES_MAX &&
    place.offset + place.byteLength - span.from <= SPAN_BYTES_MAX
  );
}

/** Reads entries that are on disk, while others are written. */
export function readEntriesLater(
  image: LogImage,
  range: EntryRange,
  done: (error: Error | null, entries: readonly Entry[]) => void,
): void {
  const spans = toSpans(image, range);
  for (const span of spans) span.segment.addReader();
  const entries: Entry[] = [];
  const finish = (error: Error | null): void => {
    for (const span of spans) span.segment.releaseReader();
    done(error, error === null ? entries : []);
  };
  const readNext = (position: number): void => {
    const span = spans[position];
    if (span === undefined) {
      finish(null);
      return;
    }
    const { file } = span.segment;
    file.readAtLater(span.from, span.to - span.from, (error, bytes) => {
      if (error !== null) return finish(toDiskError(error, file.path));
      const damaged = addEntries(span, bytes, image.salt, entries);
      if (damaged === null) readNext(position + 1);
      else finish(damagedError(damaged, corruptMeanwhile));
    });
  };
  readNext(0);
}

/** As {@link readEntriesLater}, all of the range, before anyone is served. */
export function readEntries(image: LogImage, fromIndex: LogIndex, toIndex: LogIndex): Entry[] {
  const entries: Entry[] = [];
  const range = { fromIndex, toIndex, bytesMax: Number.POSITIVE_INFINITY };
  for (const span of toSpans(image, range)) {
    const bytes = span.segment.file.readAt(span.from, span.to - span.from);
    const damaged = addEntries(span, bytes, image.salt, entries);
    if (damaged !== null) throw damagedError(damaged, corrupt);
  }
  return entries;
}

/** Adds the span's entries; answers with the first that is not what was written. */
function addEntries(
  span: Span,
  bytes: Buffer,
  salt: number,
  entries: Entry[],
): LocatedEntry | null {
  for (const located of span.entries) {
    const { index, term, place } = located;
    const start = place.offset - span.from;
    const payload = bytes.subarray(start, start + place.byteLength);
    if (payload.length !== place.byteLength || crc32(payload, salt) !== place.checksum) {
      return located;
    }
    entries.push({ index, term, type: place.type, payload });
  }
  return null;
}

function damagedError({ index, place }: LocatedEntry, toError: typeof corrupt): Error {
  return toError(place.segment.file.path, place.offset, `entry ${index} cannot be read`);
}
