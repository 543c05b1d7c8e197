/** What an operator should know about a setting of a server that we work with. */
export interface Finding {
  /** `refuse`: no coordinator or worker starts with it. */
  level: 'good' | 'warning' | 'refuse';
  /** The setting as the system names it, and its value. */
  setting: string;
  /** What it means here. */
  meaning: string;
  /** What to do about it; for what is not good. */
  fix?: string;
}
