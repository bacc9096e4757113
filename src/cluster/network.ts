import type { LinkShape } from './flow.js';
import type { CutOptions } from './links.js';

/** Where a replica runs. */
export interface Whereabouts {
  /** The address that it listens on. */
  readonly host: string;
  /** The command, with its first arguments, that starts a process there; empty: as any other. */
  readonly launcher: readonly string[];
}

/** What replicas and clients reach each other over, with switches to break it. */
export interface Network {
  /** Makes room for a replica of this name. */
  whereabouts(name: string): Promise<Whereabouts>;
  /** A replica is there (`host:port`), and will dial others. */
  addReplica(replica: { readonly name: string; readonly address: string }): Promise<void>;
  /** It is gone for good. */
  removeReplica(name: string): Promise<void>;
  /** A place where clients are; does nothing when it is known. */
  addPlace(name: string): Promise<void>;
  /** Where this replica dials the others, when not at their address. */
  routesOf(name: string): Readonly<Record<string, string>>;
  /** Where a client at this place dials the replica that listens at `address`. */
  through(place: string, address: string): string;
  cut(from: string, to: string, options?: CutOptions): void;
  isolate(name: string, options?: CutOptions): void;
  partition(groups: readonly (readonly string[])[], options?: CutOptions): void;
  shape(from: string, to: string, shape: LinkShape | null): void;
  heal(): void;
  close(): Promise<void>;
}
