export type CodeMailLanguage = 'en' | 'de';

interface CodeMailValues {
  code: string;
  brand: string;
  minutes: number;
}

interface CodeMailTexts {
  subject(brand: string): string;
  /** The code stands in the first one, before everything that may hold digits too. */
  paragraphs(values: CodeMailValues): string[];
}

/** What a mail with a code says where its issuer has not said it otherwise. */
export const codeMailTexts: Record<CodeMailLanguage, CodeMailTexts> = {
  en: {
    subject: (brand) => `Your code to sign in to ${brand}`,
    paragraphs: ({ code, brand, minutes }) => [
      `${code} is your code to sign in to ${brand}.`,
      `It works once, within the next ${minutes === 1 ? 'minute' : `${minutes} minutes`}.`,
      `Did you not ask for it? Then ignore this mail: without the code nobody signs in. Give it to nobody, not even to somebody who claims to be from ${brand}.`,
    ],
  },
  de: {
    subject: (brand) => `Ihr Code zum Anmelden bei ${brand}`,
    paragraphs: ({ code, brand, minutes }) => [
      `${code} ist Ihr Code zum Anmelden bei ${brand}.`,
      `Er gilt einmal, innerhalb ${minutes === 1 ? 'der nächsten Minute' : `der nächsten ${minutes} Minuten`}.`,
      `Sie haben ihn nicht angefordert? Dann ignorieren Sie diese E-Mail: Ohne den Code meldet sich niemand an. Geben Sie ihn niemandem, auch niemandem, der sich als ${brand} ausgibt.`,
    ],
  },
};
