import { againstEncoders } from "./against-encoders.js";

againstEncoders("bert");
