import type { Language } from './language.ts';
import type { Texts } from './texts.ts';
import { german } from './texts-de.ts';
import { english } from './texts-en.ts';

const all: Readonly<Record<Language, Texts>> = { en: english, de: german };

/** The texts of a language. */
export function textsOf(language: Language): Texts {
  return all[language];
}
