"""Words that say hello, goodbye, thanks, yes or no, in the languages of many chats.

Written in lower case and without punctuation; a message of nothing else is not knowledge.
"""

COURTESIES = frozenset(
    phrase.strip()
    for phrase in """
    hi, hello, hey, heya, hiya, howdy, yo, sup, wassup, whats up, what's up, hi there
    hello there, hey there, greetings, good morning, good afternoon, good evening, good night
    goodnight, morning, evening, gm, gn, welcome, welcome back, there, everyone, everybody, all
    guys, folks, friend, friends, again, bye, goodbye, bye bye, see you, see ya, cya
    see you later, later, take care, cheers, thanks, thank you, thank you so much
    thank you very much, thanks a lot, many thanks, thx, ty, tysm, np, no problem
    you're welcome, youre welcome, please, sorry, ok, okay, okey, k, kk, yes, yeah, yep, yup
    no, nope, nah, sure, of course, alright, all right, fine, cool, nice, great, good, awesome
    perfect, wow, oh, ah, hm, hmm, um, uh, right, got it, i see, lol, lmao, rofl, omg, haha
    hehe, how are you, how are you doing, how's it going, how is it going, i'm fine, im fine
    and you, nice to meet you, so much, test, testing

    hola, buenas, buenos días, buenos dias, buenas tardes, buenas noches, adiós, adios
    hasta luego, hasta mañana, gracias, muchas gracias, de nada, por favor, sí, si, vale, claro
    qué tal, que tal, cómo estás, como estas, perdón, jaja, jajaja

    salut, bonjour, bonsoir, coucou, bonne nuit, bonne journée, au revoir, à bientôt, merci
    merci beaucoup, de rien, s'il te plaît, s'il vous plaît, oui, non, d'accord, ça va, ca va
    pardon

    hallo, guten morgen, guten tag, guten abend, gute nacht, moin, moin moin, servus, grüß dich
    grüezi, tschüss, tschüs, auf wiedersehen, bis bald, bis später, danke, danke schön
    vielen dank, bitte, ja, nein, jo, wie geht's, wie gehts, genau, na

    ciao, salve, buongiorno, buonasera, buonanotte, arrivederci, a presto, grazie, grazie mille
    prego, per favore, sì, va bene, come stai, come va

    olá, ola, oi, bom dia, boa tarde, boa noite, tchau, até logo, até amanhã, obrigado
    obrigada, muito obrigado, muito obrigada, sim, não, nao, tudo bem, beleza

    hoi, goedemorgen, goedemiddag, goedenavond, doei, dag, dank je, dankjewel, bedankt, nee
    hej, hejsan, god morgon, god kväll, tack, tack så mycket, nej, hejdå, moi, moikka, terve
    kiitos, cześć, czesc, hejka, dzień dobry, dzien dobry, dobry wieczór, do widzenia, dzięki
    dziękuję, tak, nie, ahoj, dobrý den, děkuji, bună, mulțumesc, szia, sziasztok, köszönöm
    γεια, γεια σου, καλημέρα, καλησπέρα, καληνύχτα, ευχαριστώ, ναι, όχι

    привет, приветик, приветствую, здравствуй, здравствуйте, доброе утро, добрый день
    добрый вечер, спокойной ночи, пока, до свидания, спасибо, большое спасибо, пожалуйста, да
    нет, ок, ладно, хорошо, понятно, как дела, всем, привіт, добрий день, дякую, так, ні
    здраво, хвала

    merhaba, selam, selamlar, günaydın, iyi günler, iyi akşamlar, iyi geceler, hoşça kal
    görüşürüz, teşekkürler, teşekkür ederim, sağ ol, evet, hayır, tamam, nasılsın

    مرحبا, مرحباً, أهلا, أهلاً, اهلا, أهلا وسهلا, السلام عليكم, وعليكم السلام, سلام, صباح الخير
    مساء الخير, تصبح على خير, مع السلامة, شكرا, شكراً, شكرا جزيلا, نعم, لا, كيف حالك, درود
    ممنون, مرسی, خداحافظ, שלום, היי, בוקר טוב, ערב טוב, לילה טוב, תודה, תודה רבה, כן, לא
    להתראות, ביי

    नमस्ते, नमस्कार, हैलो, शुभ प्रभात, शुभ रात्रि, धन्यवाद, शुक्रिया, हाँ, नहीं, ठीक है, namaste
    shukriya, নমস্কার, হ্যালো, ধন্যবাদ, শুভ সকাল, হ্যাঁ, না, வணக்கம், நன்றி, السلام علیکم, شکریہ

    你好, 您好, 妳好, 大家好, 嗨, 哈喽, 哈囉, 喂, 早, 早安, 早上好, 上午好, 下午好, 晚上好
    晚安, 再见, 再見, 拜拜, 谢谢, 謝謝, 谢谢你, 謝謝你, 多谢, 多謝, 感谢, 不客气, 不客氣
    没关系, 沒關係, 对不起, 對不起, 好, 好的, 好吧, 是, 是的, 不, 不是, 对, 對, 嗯, 嗯嗯, 行
    可以, 没问题, 沒問題, 知道了, 明白了, 你好吗, 你好嗎, 在吗, 在嗎

    こんにちは, こんにちわ, こんばんは, おはよう, おはようございます, おやすみ, おやすみなさい
    やあ, もしもし, さようなら, またね, じゃあね, ありがとう, ありがとうございます, どうも
    すみません, ごめん, ごめんなさい, はい, いいえ, うん, ううん, はじめまして, よろしく
    よろしくお願いします, お疲れ様, お疲れ様です, わかった, わかりました, 了解, 了解です, 안녕
    안녕하세요, 안녕히 가세요, 잘자, 잘 자, 고마워, 고마워요, 감사합니다, 감사해요, 미안
    미안해, 죄송합니다, 네, 예, 응, 아니, 아니요, 좋아, 좋아요, 알겠어, 알겠습니다, 반가워
    반갑습니다

    xin chào, chào, chào bạn, chào buổi sáng, tạm biệt, cảm ơn, cám ơn, vâng, không, สวัสดี
    สวัสดีครับ, สวัสดีค่ะ, ขอบคุณ, ขอบคุณครับ, ขอบคุณค่ะ, ครับ, ค่ะ, halo, hai, selamat pagi
    selamat siang, selamat sore, selamat malam, terima kasih, makasih, sampai jumpa, ya, tidak
    kumusta, magandang umaga, salamat, hujambo, habari, jambo, asante, ndiyo, hapana
    """.replace("\n", ",").split(",")
    if phrase.strip()
)
