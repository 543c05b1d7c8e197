// @ts-check
/** A folder that appears as a whole or not at all. */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * @param {string} home
 * @param {(workshop: string) => Promise<void>} make leaves what will be `home` in `made` below the folder that it is given
 */
export async function place(home, make) {
  mkdirSync(dirname(home), { recursive: true });
  const workshop = mkdtempSync(`${home}.part-`);
  try {
    await make(workshop);
    // Somebody else may have been quicker.
    if (!existsSync(home)) renameSync(join(workshop, 'made'), home);
  } finally {
    rmSync(workshop, { recursive: true, force: true });
  }
}
