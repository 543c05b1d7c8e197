/** Every bound of the core in one place, with the relations between them asserted at load. */

/** A worker says a word this often. */
export const beatMs = 1_000;
/** A worker silent for this long is lost. */
export const leaseMs = 5_000;
/** A held assignment that the worker has not seen for this long is sent again (two beats). */
export const assignGraceMs = 2_000;
/** Reports, and payload bytes of reports, that may wait for their acknowledgement until the next beat. */
export const ackOwedMax = 32;
export const ackOwedBytesMax = 1024 * 1024;
/** A slot is given this much work, or so many commits, whichever is more, and more when half of it is done. */
export const slotAheadMs = 200;
export const slotAheadCommits = 12;
/** Tasks in one assignment. */
export const assignTasksMax = 16_384;
/** Input bytes in one assignment. */
export const assignBytesMax = 4 * 1024 * 1024;
/** Tasks a slot is given while nothing is known about their duration. */
export const unknownTasksPerSlot = 2;
/** Tasks up to this long are handed out ahead, so many for each slot. */
export const shortTaskMs = 250;
export const aheadTasksPerSlot = 4;
/** What waits behind longer tasks goes to a worker with a free slot after this (one beat); a task that is longer lets none wait. */
export const stealGraceMs = beatMs;
/** Pairs of a stage and a free worker that one tick looks at. */
export const stealLooksMax = 1_000;
/** attempt is one byte of a task's row. */
export const attemptsMax = 255;
/** Suspects per assignment by how often they were lost: groups shrink until one alone is left. */
export const suspectGroupSizes = [256, 16, 1] as const;
/** Changes of one job or queue by people that are known by name when they are said again, and told to whoever missed them. */
export const changesKept = 16;
/** Attempts kept in one task's story. */
export const historyEntriesMax = 20;
/** Payload bytes of one value. */
export const payloadBytesMax = 64 * 1024 * 1024;
/** One message on a line: the largest value, with room for whatever travels beside it. */
export const messageBytesMax = 256 * 1024 * 1024;

/** Payload of one message that the coordinator stores: a batch of small values and a largest one. */
export const storedBytesMax = 2 * payloadBytesMax;

/** What a journal must take as one entry: the largest message, what a turn may hold beside it, and the facts of both. */
export const entryBytesMin = storedBytesMax + 64 * 1024 * 1024;

/** Bytes of input that one turn takes in before it commits; one larger message is taken alone. */
export const turnBytesMax = 8 * 1024 * 1024;
/** After a closed connection the same incarnation of a worker may return for this long. */
export const closeGraceMs = 1_000;
/** A worker that has not been heard of for this long may be gone: it is given nothing more until it is heard of. */
export const quietMs = 2_500;
/** A worker that was heard of within this is there, and another process may not take its name. */
export const namesakeMs = 1_500;

/** An uploaded program that no job has come for goes after this. */
export const bundleIdleMs = 3_600_000;

/** Alarms of jobs that are gone are kept until there are more than this, and more than others. */
export const wakesGoneMin = 64;

/** Bytes in one delivery to a reader. */
export const deliverBytesMax = 4 * 1024 * 1024;
/** Stories of dead letters in one page. */
export const letterPageBytesMax = 4 * 1024 * 1024;
/** What a job's tasks print, in one generation of its log, of which the last two are kept. */
export const logBytesMax = 1024 * 1024;
/** Of all jobs, what waits to be stored. */
export const logsUnsavedBytesMax = 64 * 1024 * 1024;
/** Tasks in one delivery to a reader. */
export const deliverTasksMax = 16_384;
/** Readers that one submission tells to be done with. */
export const unreadAlongMax = 1_000;
/** A job that is kept until its result was read goes at the latest after this. */
export const unreadKeepMs = 60_000;
/** Of what is kept beyond its use; tests and the simulator set smaller ones. */
export interface Bounds {
  /** The registry rolls when it holds so many facts that are no longer true, or more if more are. */
  rollFactsMin: number;
  /** A worker that has left is remembered for so long: people ask why it went, and a broker may repeat its words for minutes. */
  goneMs: number;
  /** Of those gone for longer, so many at most are kept for the sake of jobs that they may have worked for. */
  goneMax: number;
}
export type SomeBounds = Partial<Bounds>;
export const boundsDefault: Readonly<Bounds> = { rollFactsMin: 8_192, goneMs: 3_600_000, goneMax: 4_096 };
/** A worker's index has 16 bits of a task's row. */
export const workersMax = 65_536;
/** Facts in one entry of what is still true then, where a job counts as many as it has stages. */
export const rollPartMax = 2_048;
/** A gap between two ticks that says this process itself stood still. */
export const tickGapMs = 2_500;

function relation(holds: boolean, what: string): void {
  if (!holds) throw new Error(`limits contradict each other: ${what}`);
}
relation(leaseMs >= 3 * beatMs, 'a lease survives two lost beats');
relation(assignGraceMs >= 2 * beatMs, 'a beat can tell of an assignment before it is sent again');
relation(closeGraceMs < leaseMs, 'a closed connection is judged sooner than silence');
relation(2 * beatMs < quietMs && quietMs < leaseMs, 'one beat that is late or lost does not keep work from a worker');
relation(beatMs < namesakeMs && namesakeMs <= leaseMs - closeGraceMs, 'a name is kept by who beats, and free where its line has closed');
relation(tickGapMs < leaseMs, 'a pause is noticed before leases are judged by it');
relation(aheadTasksPerSlot > unknownTasksPerSlot, 'an assignment ahead holds several tasks');
relation(shortTaskMs <= stealGraceMs, 'what is handed out ahead of its time is run before it is asked back');
relation(messageBytesMax >= 2 * payloadBytesMax, 'a task of a large input may be delivered with a large result');
relation(entryBytesMin >= storedBytesMax + 2 * turnBytesMax, 'any turn fits into one entry');
relation(boundsDefault.goneMs > 10 * leaseMs, 'what a worker held when it was lost is written down long before it is forgotten');
relation(boundsDefault.goneMax < workersMax / 2, 'an index is given again only after tens of thousands of others');
relation(messageBytesMax > storedBytesMax, 'what is stored travels in one message');
relation(payloadBytesMax >= assignBytesMax, 'a large value travels alone');
