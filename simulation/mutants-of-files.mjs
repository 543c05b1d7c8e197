// @ts-check
/** Rules of the file journal, switched off one at a time (see mutants.mjs): `npm run sim -- --files` has to notice. */

/** @type {readonly import('./mutants.mjs').Mutant[]} */
export const mutantsOfFiles = [
  {
    id: 'confirms-behind-another',
    rule: 'H19, S13: nothing is confirmed once another has made a newer segment',
    file: 'src/journals/file/committer.ts',
    find: 'if (isSuperseded === true || (isSuperseded && (await isSuperseded))) return this.#lose(batch);\n    this.#confirm(batch);',
    replace: 'this.#confirm(batch);',
    budget: 100,
  },
  {
    id: 'looks-for-others-once',
    rule: 'H19, S13: whether another has made a newer segment is asked again once a name has come or gone',
    file: 'src/journals/file/fence.ts',
    find: 'if (mark !== undefined && mark === this.#seen) return false;',
    replace: 'if (this.#seen !== undefined) return false;',
    budget: 500,
  },
  {
    id: 'reads-before-it-creates',
    rule: 'H19, S13: an opener makes its segment before it reads the others’',
    file: 'src/journals/file/recover.ts',
    find: `const mine = await createNext(context);
  const older = segmentNumbers(context.disk, context.directory).filter((number) => number < mine.number);
  const header = await recover(context, ledger, older, mine.number)
`,
    replace: `const older = segmentNumbers(context.disk, context.directory);
  await recover(context, ledger, older, (older.at(-1) ?? 0) + 1);
  const mine = await createNext(context);
  const header = await Promise.resolve()
`,
    budget: 100,
  },
  {
    id: 'seals-a-torn-tail',
    rule: 'H19, S01: what was read is sealed, and a torn tail lies behind the seal',
    file: 'src/journals/file/recover.ts',
    find: 'segment.bytes = end;',
    replace: 'segment.bytes = damage ? (await file.stat()).size : end;',
    budget: 500,
  },
  {
    id: 'half-a-write-counts',
    rule: 'H19, S02: of a write that is not finished nothing counts: its writer may still take it back',
    file: 'src/journals/file/format.ts',
    find: 'frame.moreFollow = (kind & MORE_FOLLOW) !== 0;',
    replace: 'frame.moreFollow = false;',
    budget: 5_000,
  },
  {
    id: 'torn-is-damage',
    rule: 'S01: a record of which a sector never arrived was torn',
    file: 'src/journals/file/scan.ts',
    find: 'if (hasMissingSector(rest, damage.at, Math.min(length, rest.length))) return undefined;',
    replace: '',
    budget: 2_000,
  },
  {
    id: 'looks-once',
    rule: 'S13: what looks damaged may be finished meanwhile by a writer that still lives',
    file: 'src/journals/file/recover.ts',
    find: 'if (isAgain && end === from) {',
    replace: 'if (isAgain || end >= from) {',
    budget: 3_000,
  },
  {
    id: 'removes-what-may-count',
    rule: 'S04, S13: a segment stays whose header a failing disk may have taken',
    file: 'src/journals/file/recover.ts',
    find: 'if (!(error instanceof HeaderInDoubt)) await unlinkIfThere',
    replace: 'await unlinkIfThere',
    budget: 10_000,
  },
  {
    id: 'confirms-before-it-syncs',
    rule: 'rule 1, S06: durable before it is confirmed',
    file: 'src/journals/file/committer.ts',
    find: 'await disk.sync(openHandle(this.#active), isQuick);',
    replace: 'void Promise.resolve(disk.sync(openHandle(this.#active), isQuick)).catch(() => undefined);',
    budget: 500,
  },
  {
    id: 'names-are-not-synced',
    rule: 'S06: a new file’s name is made durable as its bytes are',
    file: 'src/journals/file/recover.ts',
    find: 'await Promise.all([context.disk.sync(mine.handle), context.disk.syncDirectory(context.directory)]);',
    replace: 'await context.disk.sync(mine.handle);',
    budget: 100,
  },
  {
    id: 'what-is-read-may-go',
    rule: 'S06: what an opener reads it makes durable: its writer may not have come to that',
    file: 'src/journals/file/recover.ts',
    find: 'await context.disk.sync(file);',
    replace: '',
    budget: 3_000,
  },
  {
    id: 'full-and-half-written',
    rule: 'S02: a full disk leaves nothing behind',
    file: 'src/journals/file/committer.ts',
    find: 'if (isFull(error)) await this.#cutBack(file, segment.bytes);\n      throw error;',
    replace: 'throw error;',
    budget: 1_000,
  },
  {
    id: 'goes-on-after-a-failure',
    rule: 'S04: after a failed write or sync nothing is written any more',
    file: 'src/journals/file/committer.ts',
    find: 'for (const work of batch.works) if (this.#stopped !== undefined) work.reject(this.#stopped(work));',
    replace:
      'for (const work of batch.works) if (this.#stopped !== undefined) work.reject(this.#stopped(work));\n    this.#stopped = undefined;',
    budget: 5_000,
  },
  {
    id: 'removes-before-it-says',
    rule: 'S11: a file goes after the log says that it counts no more',
    file: 'src/journals/file/reclaim.ts',
    find: 'await committer.commit([record(RECORD_REMOVED, { seq: segment.number })], { makesRoom: true });\n      await ledger.segments.remove(segment);',
    replace:
      'await ledger.segments.remove(segment);\n      await committer.commit([record(RECORD_REMOVED, { seq: segment.number })], { makesRoom: true });',
    budget: 500,
  },
  {
    id: 'dropped-comes-back',
    rule: 'S11: what says that a stream is closed is kept when its segment goes',
    file: 'src/journals/file/reclaim.ts',
    find: 'if (hashes.length > 0) pieces.push',
    replace: 'if (hashes.length > 1e9) pieces.push',
    budget: 500,
  },
];
