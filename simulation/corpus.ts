/** Seeds that once failed, and what they showed. What they replay changes with the simulator; the unit test named beside each does not. */
export const corpus: readonly { seed: number; showed: string }[] = [
  { seed: 5, showed: 'a leadership lost while the journal was read went unnoticed (coordinator.test.ts)' },
  { seed: 106_210, showed: 'a leader that was replaced answered that there is no such job, H18 (coordinator.test.ts)' },
  { seed: 1_435, showed: 'a late hello of an earlier life took the place of the present one, H9 (workers.test.ts)' },
  { seed: 518_487, showed: 'what waited for bytes of the journal was still sent after the leadership was lost (effects.test.ts)' },
  { seed: 200_711, showed: 'a late list had a combine task handed out again that was done, and the leader fell, N03 (workers.test.ts)' },
  { seed: 884, showed: 'a leader that was replaced took what its successor had dropped for damage, P9 (coordinator.test.ts)' },
  { seed: 601_035, showed: 'after a pause a leader whose time was over refused a job for want of room, C04 (coordinator.test.ts)' },
  { seed: 447, showed: 'a worker whose word waited behind the tick was given up, rule 10 (workers.test.ts)' },
  { seed: 800_702, showed: 'after a pause a leader whose time was over handed out what had waited for bytes, C04 (effects.test.ts)' },
  {
    seed: 4_958,
    showed: 'a coordinator that stopped and could not store that a job was gone dropped its stream, H2 (coordinator.test.ts)',
  },
  { seed: 1_040_981, showed: 'a leader whose time ended while it stopped said what had waited for bytes, I13 (coordinator.test.ts)' },
  { seed: 1_045_004, showed: 'a leader that resigned when its time was over did not count as lost, C04 (leadership.test.ts)' },
  { seed: 3_027_418, showed: 'tasks of a half-stored program were refused by each worker for good (cluster.test.ts)' },
  { seed: 6_011_676, showed: 'a replayed job waited for elements of a stage that had nothing to do any more (replay.test.ts)' },
  { seed: 6_044_009, showed: 'a job whose program was half stored waited for an uploader that was gone (cluster.test.ts)' },
  { seed: 10, showed: 'an idle leader did not notice that it was replaced, H18 (coordinator.test.ts)' },
  { seed: 257, showed: 'a lost first list after a takeover left tasks waiting for ever (workers.test.ts)' },
  { seed: 358, showed: 'a clock set back by an hour made retries wait for an hour, K01 (workers.test.ts)' },
  { seed: 1561, showed: 'a draining worker whose hello was lost was given the same task for ever, W10 (protocol.test.ts)' },
  { seed: 502_008_643, showed: 'the simulator itself let a pause within a pause turn the order of a line around (world.ts)' },
  {
    seed: 600_002_523,
    showed: 'the simulator forbade a worker that was never greeted to join again once it was forgotten (roster-model.ts)',
  },
  {
    seed: 701_024_298,
    showed: 'a leader that stopped while its registry rolled stored the roll without what it rolls into, S11 (roll.test.ts)',
  },
  { seed: 702_022_736, showed: 'the simulator wanted a program that was dropped in the very turn that confirmed it (watch.ts)' },
  { seed: 950_008_090, showed: 'the simulator did not wait for the lease of a worker that stood still to the end (schedule.ts)' },
  { seed: 970_038_467, showed: 'a replayed job waited for a fold of a stage that had nothing to do any more (replay.test.ts)' },
  {
    seed: 1_020_013_755,
    showed: 'the simulator forgot that a task had been skipped once what it had lacked came back without it (compare.ts)',
  },
  { seed: 702_031_790, showed: 'the simulator gave a graph that multiplies its tasks too little time (schedule.ts)' },
  {
    seed: 810_519,
    showed: 'a worker was given tasks before it had told what it holds, and ran more than it has room for, I20 (workers.test.ts)',
  },
  { seed: 4_100_000_368, showed: 'the simulator wanted a reader to be given what a leader had skipped before its job expired (client.ts)' },
];

/** The same of schedules of the file journal. */
export const corpusOfFiles: readonly { seed: number; showed: string }[] = [
  { seed: 31, showed: 'half a write was sealed by an opener, and then taken back by its writer, S02 (processes.test.ts)' },
  { seed: 1_991, showed: 'an opener whose header a failing disk took all the same removed it under another, S13 (disk-faults.test.ts)' },
  { seed: 910_025_152, showed: 'a header that was finished meanwhile was taken for somebody else’s file, S13 (processes.test.ts)' },
  {
    seed: 920_017_104,
    showed: 'a writer of long ago made a file under a number that was written off, and that was taken for damage, S13 (processes.test.ts)',
  },
  { seed: 980_026_464, showed: 'the simulator took a writer for the current one whose next number another had taken (schedule.ts)' },
  { seed: 62, showed: 'what a living writer finished meanwhile was taken for damage, S13 (processes.test.ts)' },
];
