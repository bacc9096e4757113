/** The numbers of frames, requests and answers on the client stream. They are never reused. */

export const HELLO = 1;
export const BATCH = 2;
export const LEADER = 3;
export const END = 4;
export const MEMBERS = 5;
export const PROBE = 6;
export const ERROR = 0;
export const WRITE = 1;
export const GET = 2;
export const RANGE = 3;
export const STATUS = 4;
export const ADMIN = 5;
export const LEASES = 6;
export const STORE = 7;
export const WATCH = 8;
export const WATCH_CANCEL = 9;
export const WATCH_CREATED = 10;
export const WATCH_EVENTS = 11;
export const WATCH_PROGRESS = 12;
export const WATCH_LAGGING = 13;
export const CALL = 14;
export const SUBMIT = 15;
export const PROCEDURES = 16;
export const EXECUTED = 17;
export const JOBS = 18;
export const WORK = 19;
